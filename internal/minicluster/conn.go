package minicluster

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
)

// maxUnsent bounds the messages that wait in a connection which is cut. A write beyond it fails as
// one does whose deadline has passed.
const maxUnsent = 1024

// conn is the dialing side's end of a control connection. It lets whole messages through, one
// after the other, in both directions, when the network lets them, and chronicles each as it
// passes. What an end sends is on its way for as long as the two are cut off from each other, and
// lost when one of them is gone.
type conn struct {
	net.Conn
	network  *network
	from, to *process // who dialed, who accepted

	unsent chan []byte   // one write each
	closed chan struct{} // by its owner: what is unsent still goes out
	cut    chan struct{} // severed: nothing passes any more
	once   sync.Once     // of closed
	sever  func()

	carried chan struct{} // closed when nothing is sent any more

	mu       sync.Mutex
	instance string    // of the TaskManager that registered over it
	deadline time.Time // of reads

	// Of the reader.
	arrived []byte // and not chronicled yet
	ready   []byte // to be read
	buf     []byte
}

func newConn(n *network, from, to *process, raw net.Conn) *conn {
	c := &conn{Conn: raw, network: n, from: from, to: to, buf: make([]byte, 16<<10),
		unsent: make(chan []byte, maxUnsent), closed: make(chan struct{}), cut: make(chan struct{}), carried: make(chan struct{})}
	c.sever = sync.OnceFunc(func() { close(c.cut); c.Close(); raw.Close() })
	return c
}

// Write sends later, in carry; p is one message, as rpc writes them, or the magic before the first.
func (c *conn) Write(p []byte) (int, error) {
	switch {
	case isClosed(c.cut):
		return 0, c.failed("write", syscall.ECONNRESET)
	case isClosed(c.closed):
		return 0, c.failed("write", net.ErrClosed)
	}
	select {
	case c.unsent <- bytes.Clone(p):
		return len(p), nil
	default:
		return 0, c.failed("write", os.ErrDeadlineExceeded)
	}
}

// SetWriteDeadline does nothing: Write never waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Close lets what was written go out, and ends the connection.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.once.Do(func() { close(c.closed) })
	return c.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
}

// carry sends what was written until the connection is closed or severed.
func (c *conn) carry() {
	defer close(c.carried)
	defer c.Conn.Close()
	for {
		select {
		case p := <-c.unsent:
			if !c.send(p) {
				return
			}
			continue
		default:
		}
		select {
		case p := <-c.unsent:
			if !c.send(p) {
				return
			}
		case <-c.closed:
			if len(c.unsent) == 0 {
				return
			}
		case <-c.cut:
			return
		}
	}
}

func (c *conn) send(p []byte) (sent bool) {
	if c.await(c.cut, time.Time{}) != nil {
		return false
	}
	if len(p) > 4 && !bytes.HasPrefix(p, []byte("PRNL")) && !c.note(c.from, c.to, p, c.cut) {
		return false
	}
	_, err := c.Conn.Write(p)
	return err == nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if isClosed(c.closed) {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		if err := c.receive(); err != nil {
			return 0, c.failed("read", err)
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// receive makes the next message ready, or reads more of it.
func (c *conn) receive() error {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	if size := frameSize(c.arrived); size > 0 {
		if err := c.await(c.closed, deadline); err != nil {
			return err
		}
		if !c.note(c.to, c.from, c.arrived[:size], c.closed) {
			return syscall.ECONNRESET
		}
		c.ready, c.arrived = c.arrived[:size], c.arrived[size:]
		return nil
	}
	n, err := c.Conn.Read(c.buf)
	c.arrived = append(c.arrived[:len(c.arrived):len(c.arrived)], c.buf[:n]...)
	switch {
	case n > 0 || err == nil:
		return nil
	case isClosed(c.cut):
		return syscall.ECONNRESET
	case isClosed(c.closed):
		return net.ErrClosed
	case os.IsTimeout(err):
		return err
	}
	if err := c.await(c.closed, deadline); err != nil { // an end is news, too
		return err
	}
	return err
}

// frameSize is the size of the first message in b, or 0 if it is not all there.
func frameSize(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	if size := 4 + int(binary.BigEndian.Uint32(b)); len(b) >= size {
		return size
	}
	return 0
}

// await returns nil once messages pass, and an error if they never will, the deadline passes
// (zero: none) or quit is closed.
func (c *conn) await(quit <-chan struct{}, deadline time.Time) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		way, changed := c.network.passage(c.from, c.to)
		switch {
		case way == ending || isClosed(c.cut):
			return syscall.ECONNRESET
		case isClosed(quit):
			return net.ErrClosed
		case way == free:
			return nil
		}
		select {
		case <-changed:
		case <-quit:
		case <-expired:
			return os.ErrDeadlineExceeded
		}
	}
}

// note chronicles a message that passes. It reports whether it still does, if a trap has held it.
func (c *conn) note(sender, receiver *process, frame []byte, quit <-chan struct{}) bool {
	header, m, err := rpc.New(frameReader{Reader: bytes.NewReader(frame)}).Receive()
	if err != nil {
		return true // what is no message is for the receiver to refuse
	}
	switch m := m.(type) {
	case rpc.Heartbeat, rpc.Progress:
		return true
	case rpc.Register:
		c.network.listen(m.Data, sender)
		c.mu.Lock()
		c.instance = m.Instance
		c.mu.Unlock()
	}
	c.mu.Lock()
	instance := c.instance
	c.mu.Unlock()
	return c.network.chronicle.add(Event{
		Kind: Sent, Process: sender.name, To: receiver.name, Epoch: header.Epoch, Instance: instance, Message: m,
	}, quit)
}

// frameReader is a message as a connection, for rpc to decode.
type frameReader struct {
	net.Conn
	io.Reader
}

func (f frameReader) Read(p []byte) (int, error) { return f.Reader.Read(p) }

func (c *conn) failed(op string, err error) error {
	if _, is := err.(*net.OpError); is || err == io.EOF { //nolint:errorlint // as they come from the socket
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
