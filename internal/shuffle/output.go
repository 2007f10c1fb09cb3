package shuffle

// Output is the writing end of one channel. A Writer takes it over.
type Output[T any] interface {
	// open prepares the channel for a writer that has so many buffers for it.
	// fail may be called at any time, from any goroutine, when the channel can carry nothing any more.
	open(credits int, fail func(error))
	// send passes a full buffer on. Records that did not fit are returned, in the buffer's memory;
	// they stay valid until the buffer is next written.
	send(b *buffer[T]) (rest []T, err error)
}

// LocalOutput is a channel to a gate in this process: buffers change owner, nothing is copied.
func LocalOutput[T any](g *Gate[T], channel int) Output[T] {
	return localOutput[T]{g, channel}
}

type localOutput[T any] struct {
	gate    *Gate[T]
	channel int
}

func (localOutput[T]) open(int, func(error)) {}

func (o localOutput[T]) send(b *buffer[T]) ([]T, error) {
	o.gate.items <- Item[T]{channel: o.channel, event: b.event, gate: o.gate, local: b}
	return nil, nil
}
