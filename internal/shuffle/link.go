package shuffle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	backoffLeast = 50 * time.Millisecond
	backoffMost  = time.Second
	// writeAtOnce bounds how many frames one write takes.
	writeAtOnce = 64
)

// link is the one connection from this process to a peer's data address, and all channels that
// share it. Its run goroutine dials and writes; a second one reads while there is a connection.
type link struct {
	x    *Exchange
	peer string
	wake chan struct{} // something changed under mu that run should see

	mu      sync.Mutex
	outs    []*outbound // by id
	ready   []*outbound // have something to write
	delayed bool        // a channel is to be asked for again
}

// add gives a channel its number.
func (l *link) add(o *outbound) {
	l.mu.Lock()
	o.id = uint32(len(l.outs))
	l.outs = append(l.outs, o)
	l.queue(o)
	if l.x.ctx.Err() != nil { // Close may have failed the others already
		o.failure = ErrClosed
		o.onFailure(ErrClosed)
	}
	l.mu.Unlock()
	l.signal()
}

// queue notes that o has something to write. Callers hold mu.
func (l *link) queue(o *outbound) {
	if !o.queued {
		o.queued = true
		l.ready = append(l.ready, o)
	}
}

func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run keeps a connection as long as a channel needs one, and returns when the exchange is closed.
func (l *link) run() {
	delay := backoffLeast
	for l.needed() {
		progress, err := l.connect()
		if l.x.ctx.Err() != nil {
			return
		}
		if progress {
			delay = backoffLeast
		}
		if !l.unfinished() {
			continue // the peer may well go now
		}
		l.x.log.Info("no data connection; dialing again", "peer", l.peer, "in", delay, "error", err)
		if !l.pause(delay) {
			return
		}
		delay = min(2*delay, backoffMost)
	}
}

// needed waits until a channel wants to send; false: the exchange is closed.
func (l *link) needed() bool {
	for {
		if l.x.ctx.Err() != nil {
			return false
		}
		if l.unfinished() {
			return true
		}
		select {
		case <-l.wake:
		case <-l.x.ctx.Done():
		}
	}
}

func (l *link) unfinished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outs {
		if !o.finished() {
			return true
		}
	}
	return false
}

func (l *link) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.x.ctx.Done():
		return false
	}
}

// connect dials and serves one connection until it breaks. progress says that the peer answered.
func (l *link) connect() (progress bool, err error) {
	c, err := l.x.cfg.Dial(l.x.ctx, l.peer)
	if err != nil {
		return false, err
	}
	if !l.x.track(c) {
		_ = c.Close()
		return false, ErrClosed
	}
	defer l.x.end(c)
	if err := WritePreamble(c, Preamble{l.x.cfg.Job, l.x.cfg.Region, l.x.cfg.Attempt}); err != nil {
		return false, err
	}
	l.begin()

	answers := &answerReader{link: l, done: make(chan struct{})}
	go answers.run(c)
	err = l.write(c, answers)
	_ = c.Close() // ends the reader
	<-answers.done
	if answers.err != nil && !errors.Is(answers.err, net.ErrClosed) {
		err = answers.err
	}
	return answers.progress, err
}

// begin makes every channel ask to be opened on the new connection.
func (l *link) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delayed = false
	for _, o := range l.outs {
		o.state = unopened
		if !o.finished() {
			l.queue(o)
		}
	}
}

// write writes what there is, until the connection breaks.
func (l *link) write(c net.Conn, answers *answerReader) error {
	w := frameWriter{conn: c}
	wait := backoffLeast
	var again <-chan time.Time // when to ask for delayed channels; nil: there is none
	for {
		if err := w.write(l.collect(&w)); err != nil {
			return err
		}
		if w.more {
			continue
		}
		if w.delayed && again == nil {
			again = time.After(wait)
			wait = min(2*wait, backoffMost)
		}
		select {
		case <-l.wake:
		case <-again:
			again = nil
			l.askAgain()
		case <-answers.done:
			return io.EOF
		case <-l.x.ctx.Done():
			return context.Cause(l.x.ctx)
		}
	}
}

// collect takes the frames that can be written now, OPEN frames first: those are made in w's memory.
func (l *link) collect(w *frameWriter) net.Buffers {
	l.mu.Lock()
	defer l.mu.Unlock()
	buffers, opens := w.buffers[:0], w.opens[:0]
	n := 0
	for ; n < len(l.ready) && len(buffers) < writeAtOnce; n++ {
		o := l.ready[n]
		o.queued = false
		if o.state == unopened {
			at := len(opens)
			opens = appendOpen(opens, o.id, o.channel, o.credits)
			buffers = append(buffers, opens[at:])
			o.state = asked
		}
		for _, f := range o.unsent() {
			buffers = append(buffers, f.bytes)
		}
	}
	w.more, w.delayed = n < len(l.ready), l.delayed
	l.ready = l.ready[:copy(l.ready, l.ready[n:])]
	w.buffers, w.opens = buffers, opens
	return buffers
}

// frameWriter writes many frames by one system call, and keeps the memory for that.
type frameWriter struct {
	conn    net.Conn
	buffers net.Buffers
	sending net.Buffers // what WriteTo consumes
	opens   []byte
	more    bool // there was more than one write takes
	delayed bool // a channel is to be asked for again
}

func (w *frameWriter) write(buffers net.Buffers) error {
	if len(buffers) == 0 {
		return nil
	}
	w.sending = buffers
	_, err := w.sending.WriteTo(w.conn)
	return err
}

// askAgain opens the channels that the peer was not ready for.
func (l *link) askAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delayed = false
	for _, o := range l.outs {
		if o.state == delayed {
			o.state = unopened
			l.queue(o)
		}
	}
}

// fail fails every channel that is not finished.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outs {
		if !o.finished() {
			o.failure = err
			o.onFailure(err)
		}
	}
}

// answerReader reads what a peer answers on one connection.
type answerReader struct {
	link     *link
	done     chan struct{}
	progress bool // the following are for whoever has seen done
	err      error
}

func (a *answerReader) run(c net.Conn) {
	defer close(a.done)
	defer c.Close() // ends the writer, should it wait for the peer to read
	r := bufio.NewReaderSize(c, 4<<10)
	var head [headerSize]byte
	var payload []byte
	for {
		h, err := readHeader(r, &head)
		if err == nil {
			payload, err = readPayload(r, payload, int(h.length))
		}
		if err == nil {
			err = a.link.answer(h, payload)
		}
		if err != nil {
			a.err = err
			return
		}
		a.progress = true
	}
}

// answer acts on a frame from the peer.
func (l *link) answer(h header, payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int64(h.channel) >= int64(len(l.outs)) {
		return fmt.Errorf("malformed frame: %v for channel %d of %d", h.kind, h.channel, len(l.outs))
	}
	o := l.outs[h.channel]
	if o.state == unopened {
		return fmt.Errorf("malformed frame: %v for a channel that was not opened", h.kind)
	}
	switch h.kind {
	case kindCredit:
		if err := o.credit(h.seq); err != nil {
			return err
		}
	case kindAccept:
		if err := o.accept(h.seq, parseCredit(payload)); err != nil {
			return err
		}
		l.queue(o)
		l.signal()
	case kindRefuse:
		l.refused(o, payload[0] == 1, string(payload[1:]))
	default:
		return fmt.Errorf("malformed frame: %v from a consumer", h.kind)
	}
	return nil
}

// refused notes that the peer does not take the channel. Callers hold mu.
func (l *link) refused(o *outbound, forGood bool, reason string) {
	if !forGood {
		if !o.waited {
			o.waited = true
			l.x.log.Info("the consumer is not there yet; asking again", "peer", l.peer, "channel", o.channel.String(), "reason", reason)
		}
		o.state, l.delayed = delayed, true
		l.signal()
		return
	}
	o.state = refused
	o.failure = fmt.Errorf("shuffle: %s refuses %v: %s", l.peer, o.channel, reason)
	o.onFailure(o.failure)
}
