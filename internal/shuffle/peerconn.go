package shuffle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/perennial-io/perennial/internal/record"
)

// maxChannels bounds the channels of a connection, and so the answers that it can be owed.
const maxChannels = 1 << 16

// errSuperseded ends a connection whose channels have been opened on a newer one.
var errSuperseded = errors.New("the producer has opened the channel on another connection")

// peerConn is a connection that a peer has opened to send on. run reads it, and starts a
// second goroutine that writes answers.
type peerConn struct {
	x        *Exchange
	conn     net.Conn
	channels map[uint32]*inbound // the reader's
	wake     chan struct{}       // there is something to write

	mu      sync.Mutex
	answers []byte     // to ACCEPT and REFUSE
	owed    []*inbound // have credit to send
}

func newPeerConn(x *Exchange, c net.Conn) *peerConn {
	return &peerConn{x: x, conn: c, channels: map[uint32]*inbound{}, wake: make(chan struct{}, 1)}
}

// run serves the connection until it ends.
func (p *peerConn) run() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		p.write(stop)
	}()
	err := p.read()
	close(stop)
	p.x.end(p.conn)
	<-stopped
	if p.x.ctx.Err() == nil && !errors.Is(err, io.EOF) {
		p.x.log.Warn("data connection closed", "peer", p.conn.RemoteAddr().String(), "error", err)
	}
}

func (p *peerConn) read() error {
	r := bufio.NewReaderSize(p.conn, 32<<10)
	var head [headerSize]byte
	for {
		h, err := readHeader(r, &head)
		if err != nil {
			return err
		}
		switch h.kind {
		case kindOpen:
			err = p.open(r, h)
		case kindData, kindEvent:
			err = p.receive(r, h)
		default:
			err = fmt.Errorf("malformed frame: %v from a producer", h.kind)
		}
		if err != nil {
			return err
		}
	}
}

// open answers a request to open a channel: only one that is bound here is accepted (R14).
func (p *peerConn) open(r io.Reader, h header) error {
	var b [openSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return noEOF(err)
	}
	ch, credits, err := parseOpen(b[:])
	if err != nil {
		return err
	}
	if ch.Job != p.x.cfg.Job || ch.Attempt != p.x.cfg.Attempt {
		return p.refuse(h.channel, true, fmt.Sprintf("attempt %d of job %s runs here", p.x.cfg.Attempt, p.x.cfg.Job))
	}
	in := p.x.input(ch)
	if in == nil {
		return p.refuse(h.channel, false, "no consumer is bound to it")
	}
	if len(p.channels) >= maxChannels {
		return fmt.Errorf("malformed frame: more than %d channels", maxChannels)
	}
	p.channels[h.channel] = in
	received, released := in.open(p, h.channel, credits)
	answer := header{kind: kindAccept, channel: h.channel, seq: received, length: 8}.appendTo(nil)
	return p.answer(binary.BigEndian.AppendUint64(answer, released))
}

func (p *peerConn) refuse(channel uint32, forGood bool, reason string) error {
	b := header{kind: kindRefuse, channel: channel, length: uint32(1 + len(reason))}.appendTo(nil)
	verdict := byte(0)
	if forGood {
		verdict = 1
		p.x.log.Warn("refused a data channel", "peer", p.conn.RemoteAddr().String(), "reason", reason)
	}
	return p.answer(append(append(b, verdict), reason...))
}

// answer queues a frame to be written.
func (p *peerConn) answer(b []byte) error {
	p.mu.Lock()
	p.answers = append(p.answers, b...)
	size := len(p.answers)
	p.mu.Unlock()
	p.signal()
	if size > keptBuffer {
		return errors.New("the producer does not read the answers to its frames")
	}
	return nil
}

// owe queues credit to be written.
func (p *peerConn) owe(in *inbound) {
	p.mu.Lock()
	p.owed = append(p.owed, in)
	p.mu.Unlock()
	p.signal()
}

func (p *peerConn) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// receive reads a frame and delivers it, or drops one that has come before.
func (p *peerConn) receive(r *bufio.Reader, h header) error {
	in := p.channels[h.channel]
	if in == nil {
		return fmt.Errorf("malformed frame: %v on channel %d, which is not open", h.kind, h.channel)
	}
	f, err := in.expect(p, h.seq)
	if err != nil {
		return err
	}
	if f == nil {
		_, err := io.CopyN(io.Discard, r, int64(h.length))
		return noEOF(err)
	}
	if f.payload, err = readPayload(r, f.payload, int(h.length)); err != nil {
		return err
	}
	var e record.Event
	if h.kind == kindEvent {
		if e, err = parseEvent(f.payload); err != nil {
			return err
		}
	}
	return in.take(p, f, e)
}

// write writes answers and credit until stop is closed or the connection breaks.
func (p *peerConn) write(stop <-chan struct{}) {
	var out []byte
	var owed []*inbound
	for {
		select {
		case <-p.wake:
		case <-stop:
			return
		}
		p.mu.Lock()
		out = append(out[:0], p.answers...)
		p.answers = p.answers[:0]
		owed, p.owed = p.owed, owed[:0]
		p.mu.Unlock()
		for _, in := range owed {
			if h, ok := in.credit(p); ok {
				out = h.appendTo(out)
			}
		}
		if _, err := p.conn.Write(out); err != nil {
			_ = p.conn.Close() // the reader says why
			return
		}
	}
}
