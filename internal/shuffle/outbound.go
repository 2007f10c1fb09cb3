package shuffle

import (
	"encoding/binary"
	"fmt"

	"github.com/perennial-io/perennial/internal/record"
)

// frame is a batch or an event as it travels, header included. Between push and the credit that
// covers it, it belongs to the link and does not change: it may have to be sent again.
type frame struct {
	bytes []byte
	seq   uint64
	free  func() // what to do when it is credited; never blocks
}

// RemoteOutput is a channel to a gate in another process, at the data address peer: batches are
// encoded by the writer's goroutine, kept until the consumer has released them, and sent
// again on a new connection when one breaks. The error says that the exchange is closed or the
// channel belongs to another attempt.
func RemoteOutput[T any](x *Exchange, ch Channel, peer string, codec *record.Codec[T]) (Output[T], error) {
	if ch.Job != x.cfg.Job || ch.Attempt != x.cfg.Attempt {
		return nil, fmt.Errorf("shuffle: %v does not belong to attempt %d of job %s", ch, x.cfg.Attempt, x.cfg.Job)
	}
	l, err := x.linkTo(peer)
	if err != nil {
		return nil, err
	}
	return &remoteOutput[T]{out: &outbound{link: l, channel: ch, next: 1}, codec: codec}, nil
}

type remoteOutput[T any] struct {
	out   *outbound
	codec *record.Codec[T]
}

func (o *remoteOutput[T]) open(credits int, fail func(error)) {
	o.out.credits, o.out.onFailure = credits, fail
	o.out.link.add(o.out)
}

func (o *remoteOutput[T]) send(b *buffer[T]) ([]T, error) {
	if cap(b.bytes) < headerSize || cap(b.bytes) > keptBuffer {
		b.bytes = make([]byte, headerSize, headerSize+1<<10)
	}
	if b.event.Kind != record.NoEvent {
		b.bytes = appendEvent(b.bytes[:headerSize], b.event)
		return nil, o.out.push(&b.frame, kindEvent)
	}
	records := b.records
	bytes, n, err := o.codec.AppendUpTo(b.bytes[:headerSize], records, softFrame)
	if err != nil {
		return nil, fmt.Errorf("send on %v: %w", o.out.channel, err)
	}
	if size := len(bytes) - headerSize; size > maxFrame {
		return nil, fmt.Errorf("send on %v: a record takes %d bytes; at most %d can be carried", o.out.channel, size, maxFrame)
	}
	if o.codec.HasPointers() {
		clear(records[:n]) // else the free buffer keeps what they refer to
	}
	b.bytes = bytes
	// Once pushed, the buffer may come home at any moment; the memory of its records stays ours
	// until this writer takes it from there.
	return records[n:], o.out.push(&b.frame, kindData)
}

// outbound is the sending end of a channel. Its link's mutex guards it.
type outbound struct {
	link      *link
	channel   Channel
	credits   int
	onFailure func(error)

	id      uint32   // on the wire
	window  []*frame // not yet credited; their numbers are consecutive and end with last
	last    uint64   // number of the last frame pushed
	next    uint64   // number of the frame to be written next on this connection
	state   openState
	queued  bool // stands in the link's list of those with something to write
	ended   bool // the End event was pushed
	waited  bool // the peer has said that it is not ready, and that was logged
	failure error
}

// openState is how far a channel is on the present connection.
type openState uint8

const (
	unopened openState = iota
	asked
	accepted
	delayed // refused for now
	refused // for good
)

// push numbers a frame and hands it to the link.
func (o *outbound) push(f *frame, k kind) error {
	l := o.link
	l.mu.Lock()
	if o.failure != nil {
		l.mu.Unlock()
		return o.failure
	}
	o.last++
	f.seq = o.last
	header{kind: k, channel: o.id, seq: f.seq, length: uint32(len(f.bytes) - headerSize)}.appendTo(f.bytes[:0])
	o.ended = k == kindEvent && record.EventKind(f.bytes[headerSize]) == record.End
	o.window = append(o.window, f)
	if o.state == accepted {
		l.queue(o)
	}
	l.mu.Unlock()
	l.signal()
	return nil
}

// unsent returns the frames to be written on this connection, and considers them written.
func (o *outbound) unsent() []*frame {
	if o.state != accepted || o.next > o.last {
		return nil
	}
	first := o.last + 1 - uint64(len(o.window))
	frames := o.window[o.next-first:]
	o.next = o.last + 1
	return frames
}

// credit frees the frames up to number seq. Only what was written can have been released: to free
// a frame before that would leave next behind the window, and its memory to be written anew.
func (o *outbound) credit(seq uint64) error {
	if seq >= o.next {
		return fmt.Errorf("malformed frame: credit for %d frames of %v, of which %d were written", seq, o.channel, o.next-1)
	}
	n := 0
	for n < len(o.window) && o.window[n].seq <= seq {
		n++
	}
	freed := o.window[:n]
	for _, f := range freed {
		f.free()
	}
	o.window = o.window[:copy(o.window, o.window[n:])]
	return nil
}

// accept notes where the consumer stands: the frames up to received are there.
func (o *outbound) accept(received, released uint64) error {
	first := o.last + 1 - uint64(len(o.window))
	if received > o.last || received+1 < first {
		return fmt.Errorf("malformed frame: %d frames of %v are said to be received; %d to %d are kept", received, o.channel, first, o.last)
	}
	o.state, o.next = accepted, received+1
	return o.credit(min(released, received))
}

// finished reports whether the consumer has released all that there will ever be.
func (o *outbound) finished() bool { return o.ended && len(o.window) == 0 || o.failure != nil }

func parseCredit(b []byte) uint64 { return binary.BigEndian.Uint64(b) }
