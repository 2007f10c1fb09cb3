package shuffle

import (
	"fmt"
	"sync"

	"github.com/perennial-io/perennial/internal/record"
)

// BindInput makes a gate's channel the receiving end of ch: from then on a connection may open
// it. It stays bound until the exchange is closed. To bind a channel twice is a mistake of the
// caller, and panics.
func BindInput[T any](x *Exchange, ch Channel, g *Gate[T], channel int) {
	in := &inbound{channel: ch}
	in.deliver = func(e record.Event, r *received) {
		g.items <- Item[T]{channel: channel, event: e, gate: g, remote: r}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inputs[ch] != nil {
		panic(fmt.Sprintf("shuffle: %v is bound twice", ch))
	}
	x.inputs[ch] = in
}

// inbound is the receiving end of a channel. It outlives the connections that feed it, one
// at a time: on each it says what it has, and the producer goes on from there.
//
// Invariant: released <= received <= released + credits + eventCredits, so that the gate has room.
type inbound struct {
	channel Channel
	deliver func(record.Event, *received) // to the gate; never blocks

	mu       sync.Mutex
	conn     *peerConn // the connection on which it is open, or nil
	id       uint32    // its number there
	credits  int
	received uint64 // frames, since the channel's beginning
	released uint64
	told     uint64 // credit that the producer has been sent
	queued   bool   // stands in conn's list of those with credit to send
	spare    []*received
}

// received is a frame that came, and the memory for one that will.
type received struct {
	in      *inbound
	payload []byte
	isEvent bool
}

// release gives the frame's memory and its credit back.
func (r *received) release() {
	in := r.in
	in.mu.Lock()
	in.released++
	in.recycle(r)
	// Half of the credits at a time: a message for each would cost more than it brings.
	due := r.isEvent || 2*(in.released-in.told) >= uint64(in.credits)
	conn := in.conn
	if !due || in.queued || conn == nil {
		in.mu.Unlock()
		return
	}
	in.queued = true
	in.mu.Unlock()
	conn.owe(in)
}

func (in *inbound) recycle(r *received) {
	if cap(r.payload) > keptBuffer {
		r.payload = nil
	}
	in.spare = append(in.spare, r)
}

// open attaches the channel to a connection, in place of an earlier one, and says what it has.
func (in *inbound) open(c *peerConn, id uint32, credits int) (receivedSoFar, releasedSoFar uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.conn, in.id, in.credits, in.queued = c, id, credits, false
	in.told = in.released
	return in.received, in.released
}

// expect readies memory for frame seq: nil when the frame is one that has come before.
func (in *inbound) expect(c *peerConn, seq uint64) (*received, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.conn != c:
		return nil, errSuperseded
	case seq <= in.received:
		return nil, nil
	case seq != in.received+1:
		return nil, fmt.Errorf("malformed frame: number %d of %v after %d", seq, in.channel, in.received)
	case in.received-in.released >= uint64(in.credits+eventCredits):
		return nil, fmt.Errorf("malformed frame: number %d of %v, without credit", seq, in.channel)
	}
	if n := len(in.spare); n > 0 {
		r := in.spare[n-1]
		in.spare = in.spare[:n-1]
		return r, nil
	}
	return &received{in: in}, nil
}

// take delivers a frame to the gate, unless the channel has been opened on another connection meanwhile:
// what comes there was promised against what had been received until then.
func (in *inbound) take(c *peerConn, r *received, e record.Event) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.conn != c {
		in.recycle(r)
		return errSuperseded
	}
	in.received++
	r.isEvent = e.Kind != record.NoEvent
	in.deliver(e, r)
	return nil
}

// credit returns what the producer is to be told on connection c.
func (in *inbound) credit(c *peerConn) (header, bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.conn != c {
		return header{}, false
	}
	in.queued, in.told = false, in.released
	return header{kind: kindCredit, channel: in.id, seq: in.released}, true
}
