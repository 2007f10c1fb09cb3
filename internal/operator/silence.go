package operator

import (
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
)

// silence is what a leader says to those that read from outside, beside checkpoints. Any goroutine may say
// it; the subtask's own heeds it.
type silence struct {
	after atomic.Uint64 // nothing is emitted after the barrier of this checkpoint; 0: of none
	ended atomic.Bool   // the input is to be taken for ended
}

// Silence says, before checkpoint id is announced, whether nothing is to be emitted after its barrier. A
// checkpoint after which there is to be more ends the silence after an earlier one.
func (w *Wiring) Silence(id job.CheckpointID, stop bool) {
	for {
		known := w.silence.after.Load()
		next := uint64(id)
		if !stop {
			next = 0
		}
		if uint64(id) < known || next == known {
			return
		}
		if w.silence.after.CompareAndSwap(known, next) {
			return // Announce wakes
		}
	}
}

// Resume ends the silence after checkpoint id.
func (w *Wiring) Resume(id job.CheckpointID) {
	if id != 0 && w.silence.after.CompareAndSwap(uint64(id), 0) {
		signal(w.wake)
	}
}

// silent reports whether nothing may be emitted until Resume. It is for the subtask's goroutine.
func (w *Wiring) silent() bool {
	after := job.CheckpointID(w.silence.after.Load())
	return after != 0 && w.taken >= after
}

// SilentAfter reports whether nothing is emitted after the barrier of this checkpoint.
func (w *Wiring) SilentAfter(id job.CheckpointID) bool {
	return id != 0 && job.CheckpointID(w.silence.after.Load()) == id
}

// AwaitCommits returns once the sinks have committed all that checkpoints up to id name, or when the subtask
// ends. An error comes with the operator of the sink. It is for a subtask that is wired; any goroutine may call it.
func (w *Wiring) AwaitCommits(id job.CheckpointID) (operator string, err error) {
	for _, s := range w.sinks {
		if t, ok := s.(interface {
			awaitCommits(job.CheckpointID) (string, error)
		}); ok {
			if operator, err := t.awaitCommits(id); err != nil {
				return operator, err
			}
		}
	}
	return "", nil
}

// EndInput has those that read from outside end as if their input had. What was not read stays in their state.
func (w *Wiring) EndInput() {
	if !w.silence.ended.Swap(true) {
		signal(w.wake)
	}
}

// inputEnds reports whether the input is to be taken for ended.
func (w *Wiring) inputEnds() bool { return w.silence.ended.Load() }
