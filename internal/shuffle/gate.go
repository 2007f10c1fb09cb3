package shuffle

import "github.com/perennial-io/perennial/internal/record"

// Gate is the input of a subtask: several channels, each in its own order, in one queue. It has
// room for every buffer that its channels have, so that handing one over never blocks.
type Gate[T any] struct {
	codec *record.Codec[T]
	items chan Item[T]
	held  []T // where batches that came by TCP are decoded
}

// NewGate returns a gate with the given number of channels. One goroutine consumes it.
func NewGate[T any](channels int, codec *record.Codec[T]) *Gate[T] {
	return &Gate[T]{codec: codec, items: make(chan Item[T], channels*(MaxCredits+eventCredits))}
}

// Items delivers batches and events as they come. It is never closed: a channel ends with
// its End event.
func (g *Gate[T]) Items() <-chan Item[T] { return g.items }

// Item is a batch or an event on a channel of a gate. Whoever receives it calls Release once,
// be it a batch or an event: the channel's producer waits for that.
type Item[T any] struct {
	channel int
	event   record.Event
	gate    *Gate[T]
	local   *buffer[T] // one of these two
	remote  *received
}

// Channel is the number of the gate's channel on which the item came.
func (it *Item[T]) Channel() int { return it.channel }

// Event is the event that the item is. Its kind is NoEvent when the item is a batch.
func (it *Item[T]) Event() record.Event { return it.event }

// Records is the batch, nil for an event. The slice may be overwritten, and is the caller's until
// Release, or until Records of another item of the same gate is called. An error
// says that the bytes that came are no batch of T.
func (it *Item[T]) Records() ([]T, error) {
	switch {
	case it.local != nil:
		return it.local.records, nil
	case it.remote == nil || it.event.Kind != record.NoEvent:
		return nil, nil
	}
	records, err := it.gate.codec.Decode(it.remote.payload, it.gate.held)
	if err != nil {
		return nil, err
	}
	it.gate.held = records
	return records, nil
}

// Release gives the item's buffer, which is a credit, back to the producer. Only the first call counts.
func (it *Item[T]) Release() {
	switch {
	case it.local != nil:
		if it.gate.codec.HasPointers() {
			clear(it.local.records) // else a free buffer keeps what its records refer to
		}
		it.local.goHome()
		it.local = nil
	case it.remote != nil:
		it.remote.release()
		it.remote = nil
	}
}
