package simulator

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// window is how many bytes of one direction may be under way or unread: more fail as if the writer had waited for too long.
const window = 4 << 20

// pipe is one direction of a connection. All of it is guarded by the network's mutex.
type pipe struct {
	n        *network
	from, to *process
	reader   *conn
	transit  []segment // sent and not arrived, in order
	last     time.Time // when the latest of them is due
	arrived  []byte
	unread   int   // bytes in transit and arrived
	end      error // what a reader finds after arrived; nil: more may come
	broken   bool  // an end was sent: nothing more is, but a reset after io.EOF
	reset    bool
	wake     chan struct{}
}

// segment is what one call has sent: bytes, or the end.
type segment struct {
	bytes []byte
	end   error
	due   time.Time
}

func (n *network) newPipe(from, to *process) *pipe {
	return &pipe{n: n, from: from, to: to, wake: make(chan struct{})}
}

func (p *pipe) signal() {
	close(p.wake)
	p.wake = make(chan struct{})
}

// send puts bytes or the end on their way.
func (p *pipe) send(b []byte, end error) {
	isReset := end == syscall.ECONNRESET //nolint:errorlint // as it is sent
	if p.reset || p.broken && !isReset {
		return
	}
	p.broken, p.reset = end != nil, isReset
	now := time.Now()
	due := now.Add(p.n.latency(p.from.host.name, p.to.host.name))
	if !due.After(p.last) {
		due = p.last.Add(1)
	}
	p.last = due
	p.unread += len(b)
	p.transit = append(p.transit, segment{bytes.Clone(b), end, due})
	time.AfterFunc(due.Sub(now), func() {
		p.n.mu.Lock()
		defer p.n.mu.Unlock()
		p.pump()
	})
}

// pump lets arrive what is due and may pass.
func (p *pipe) pump() {
	now := time.Now()
	for len(p.transit) > 0 && !p.transit[0].due.After(now) && !p.n.isCut(p.from.host.name, p.to.host.name) && !p.to.host.dark {
		s := p.transit[0]
		p.transit = p.transit[1:]
		p.arrive(s)
	}
}

func (p *pipe) arrive(s segment) {
	if p.reader.deaf {
		if s.end == nil && !p.reader.owner.host.dark {
			p.reader.out.send(nil, syscall.ECONNRESET) // nobody is there any more
		}
		return
	}
	if s.end != nil {
		p.end = s.end
		if s.end != io.EOF { //nolint:errorlint // as it was sent
			p.reader.out.broken = true
		}
		p.signal()
		return
	}
	p.arrived = append(p.arrived, s.bytes...)
	if p.n.tap != nil {
		p.n.tap.hear(p, s.bytes)
	}
	p.signal()
}

// conn is one end of a connection.
type conn struct {
	n             *network
	owner         *process
	peer          *conn
	local, remote *net.TCPAddr
	in, out       *pipe

	closed       bool // by its owner
	deaf         bool // what arrives is for nobody: it was closed, or its owner is dead
	readDeadline time.Time
	unsent       [][]byte // written while the owner was frozen
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	for {
		c.n.mu.Lock()
		n, err, wake := c.tryRead(b)
		deadline := c.readDeadline
		c.n.mu.Unlock()
		if n > 0 || err != nil {
			return n, c.failed("read", err)
		}
		await(wake, deadline)
	}
}

// tryRead reads what is there, or returns what to wait for.
func (c *conn) tryRead(b []byte) (int, error, <-chan struct{}) { //nolint:revive // the channel is the third case
	switch {
	case c.closed:
		return 0, net.ErrClosed, nil
	case c.owner.dead:
		return 0, syscall.ECONNRESET, nil
	case c.owner.frozen:
	case isPast(c.readDeadline):
		return 0, os.ErrDeadlineExceeded, nil
	case len(c.in.arrived) > 0:
		n := copy(b, c.in.arrived)
		c.in.arrived = c.in.arrived[n:]
		c.in.unread -= n
		return n, nil, nil
	case c.in.end != nil:
		return 0, c.in.end, nil
	}
	return 0, nil, c.in.wake
}

// Write implements net.Conn. It never waits: whoever has it wait may hold a mutex, and a bubble's clock stands still while
// another waits for that. What a frozen process writes is sent when it goes on.
func (c *conn) Write(b []byte) (int, error) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.failed("write", net.ErrClosed)
	case c.owner.dead:
		return 0, c.failed("write", syscall.ECONNRESET)
	case c.out.broken:
		return 0, c.failed("write", syscall.EPIPE)
	case c.out.unread > window:
		return 0, c.failed("write", os.ErrDeadlineExceeded)
	case c.owner.frozen:
		c.unsent = append(c.unsent, bytes.Clone(b))
	default:
		c.out.send(b, nil)
	}
	c.n.remember(c.out, b)
	return len(b), nil
}

// flush sends what waited for the process to go on.
func (c *conn) flush() {
	for _, b := range c.unsent {
		c.out.send(b, nil)
	}
	c.unsent = nil
}

func isPast(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

// await waits for a change, or until a deadline if there is one. A deadline that a frozen process has missed wakes nobody.
func await(wake <-chan struct{}, deadline time.Time) {
	if deadline.IsZero() || isPast(deadline) {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

// Close implements net.Conn. What was written still arrives.
func (c *conn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed, c.deaf = true, true
	if !c.owner.dead {
		c.flush()
		c.out.send(nil, io.EOF)
	}
	c.in.signal()
	c.n.sweep()
	return nil
}

// LocalAddr and the others implement net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return c.failed("set", net.ErrClosed)
	}
	c.readDeadline = t
	c.in.signal()
	return nil
}

func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) failed(op string, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // as a socket gives it
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
