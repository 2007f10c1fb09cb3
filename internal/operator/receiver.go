package operator

import "github.com/perennial-io/perennial/internal/record"

// Receiver is the next step of a chain, as the step before it sees it. One goroutine, the
// subtask's, makes all calls. After an error the chain is not called again, but for its closing.
type Receiver[T any] interface {
	// Batch takes records. It may overwrite them, and must not keep the slice after it returns.
	Batch(records []T) error
	// Event takes a watermark or a barrier, in order with the batches.
	Event(e record.Event) error
	// End says that nothing follows: emit what is held, then pass it on.
	End() error
}
