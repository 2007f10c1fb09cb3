package operator

import (
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// silence is what a leader says to those that read from outside or heed the clock, beside checkpoints. Any goroutine may say
// it; the subtask's own heeds it. The barrier of a stop says it too: the trigger for this process may come after the barrier from
// another one, and what was emitted in between would be emitted again by whoever continues from the savepoint.
type silence struct {
	told  atomic.Uint64 // the newest checkpoint of which it was told, twice, and 1 if nothing is emitted after its barrier
	ended atomic.Bool   // the input is to be taken for ended
}

func toldOf(id job.CheckpointID, stop bool) uint64 {
	if stop {
		return 2*uint64(id) + 1
	}
	return 2 * uint64(id)
}

// tell notes what next says, unless what is known is newer, or of the same checkpoint and final.
func (s *silence) tell(next uint64, final bool) (changed bool) {
	for {
		known := s.told.Load()
		if known/2 > next/2 || known/2 == next/2 && (known == next || !final) {
			return false
		}
		if s.told.CompareAndSwap(known, next) {
			return true
		}
	}
}

// Silence says, before checkpoint id is announced, whether nothing is to be emitted after its barrier. A
// checkpoint after which there is to be more ends the silence after an earlier one.
func (w *Wiring) Silence(id job.CheckpointID, stop bool) { w.silence.tell(toldOf(id, stop), true) } // Announce wakes

// Resume ends the silence after checkpoint id, also if its barrier is still to come.
func (w *Wiring) Resume(id job.CheckpointID) {
	if w.silence.tell(toldOf(id, false), true) {
		signal(w.wake)
	}
}

// heard takes note of what a barrier says. Of a checkpoint of which the leader has spoken it knows nothing newer.
func (w *Wiring) heard(barrier record.Event) {
	w.silence.tell(toldOf(job.CheckpointID(barrier.Value), barrier.Kind == record.StopBarrier), false)
}

// barrier is that of checkpoint id.
func (w *Wiring) barrier(id job.CheckpointID) record.Event {
	e := record.Event{Kind: record.Barrier, Value: int64(id)}
	if w.SilentAfter(id) {
		e.Kind = record.StopBarrier
	}
	return e
}

// silent reports whether nothing may be emitted until Resume. It is for the subtask's goroutine.
func (w *Wiring) silent() bool {
	told := w.silence.told.Load()
	return told%2 == 1 && uint64(w.taken) >= told/2
}

// SilentAfter reports whether nothing is emitted after the barrier of this checkpoint.
func (w *Wiring) SilentAfter(id job.CheckpointID) bool {
	return w.silence.told.Load() == toldOf(id, true)
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
