package operator

import (
	"context"
	"time"
)

// Outcome is what one step of a Driver came to.
type Outcome int

// The outcomes of a step.
const (
	Worked  Outcome = iota // something was done; there may be more
	Waiting                // nothing to do now
	Done                   // the input ended and the end was passed on
)

// Driver moves a subtask: it takes input and pushes it through the chain. One goroutine
// makes all calls.
type Driver interface {
	// Step does a batch's worth of work. It waits for consumers, but never for input.
	Step() (Outcome, error)
	// Wait returns once there may be input, when wake fires, or when ctx ends, whichever is first.
	Wait(ctx context.Context, wake <-chan time.Time)
	// WakeAt returns when Step has work again although no input came: a paced source's next
	// turn. Zero: no such time.
	WakeAt() time.Time
	// Close frees what the driver holds. It is called once, whatever happened.
	Close() error
}
