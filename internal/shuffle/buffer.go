package shuffle

import "github.com/perennial-io/perennial/internal/record"

const (
	// DefaultCredits is how many batches a channel holds, filling and on their way, unless its
	// writer says otherwise.
	DefaultCredits = 3
	// MaxCredits bounds it.
	MaxCredits = 4
	// eventCredits is how many events a channel holds beside its batches.
	eventCredits = 2
)

// buffer is a batch, or the carrier of an event, of one channel. Who holds it is its owner:
// home (free), the writer (filling), the gate (full), the consumer (until released); of a
// remote channel also the connection, until the consumer's credit covers it.
type buffer[T any] struct {
	frame
	records []T // as long as it is filled; its capacity is the batch's size
	event   record.Event
	out     int             // index of its output in the writer
	home    chan *buffer[T] // has room for all buffers that call it home
}

func newBuffer[T any](out int, home chan *buffer[T]) *buffer[T] {
	b := &buffer[T]{out: out, home: home}
	b.frame.free = b.goHome
	return b
}

// goHome makes the buffer free. It never blocks.
func (b *buffer[T]) goHome() {
	b.home <- b
}
