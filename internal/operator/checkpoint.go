package operator

import (
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// Stateful is a step, or a driver, that has something to remember.
type Stateful interface {
	// Snapshot returns the state as it is now. The subtask's goroutine calls it, between two batches, and
	// goes on as soon as it returns: it is to be quick.
	Snapshot() ([]Snapshot, error)
}

// Snapshot is a state at one moment.
type Snapshot = state.Snapshot

// Restored is a piece of state that one subtask of an earlier attempt wrote.
type Restored = state.Restored

// Prepared is all that a subtask contributes to a checkpoint.
type Prepared struct {
	Checkpoint job.CheckpointID
	Snapshots  []Snapshot
	Outputs    []job.OperatorOutput
	Paused     time.Duration // for how long the record path stood still
}

// checkpoints is the part of a Wiring that checkpoints need.
type checkpoints struct {
	stateful  []named
	restored  map[string][]Restored
	inherited map[string][]job.Output // by operator: what all of its subtasks are to name again
	share     map[string][]job.Output // and this one

	announced atomic.Uint64 // the newest checkpoint that was triggered
	wake      chan struct{} // a token: announced has risen
	silence   silence
	published atomic.Uint64 // outputs of checkpoints up to this one are visible
	completed completion
	taken     job.CheckpointID
	prepared  func(Prepared) // takes over what a barrier brought
}

type named struct {
	operator string
	stateful Stateful
}

// Restore says, before the subtask is wired, what it continues from: the checkpoint, the states of
// each operator, of all subtasks that it then had, the hidden outputs that its subtasks inherit, none of
// which is to be removed, and the share of them that this one names again.
func (w *Wiring) Restore(id job.CheckpointID, states map[string][]Restored, inherited, share map[string][]job.Output) {
	w.taken, w.restored, w.inherited, w.share = id, states, inherited, share
	w.completed.rise(id)
}

// OnCheckpoint says, before the subtask is wired, who takes over what each barrier brings.
func (w *Wiring) OnCheckpoint(prepared func(Prepared)) { w.prepared = prepared }

// checkpointed reports whether the subtask takes part in checkpoints.
func (w *Wiring) checkpointed() bool { return w.prepared != nil }

// Remember makes s a part of each checkpoint, under the operator's name.
func (w *Wiring) Remember(operator string, s Stateful) {
	w.stateful = append(w.stateful, named{operator, s})
}

// Restored returns what one state of an operator continues from: nothing in a first attempt, or
// where the operator had no such state.
func (w *Wiring) Restored(operator, name string) []Restored {
	return state.Named(w.restored[operator], name)
}

// Announce says that a checkpoint was triggered. Any goroutine may call it.
func (w *Wiring) Announce(id job.CheckpointID) {
	if rise(&w.announced, id) {
		signal(w.wake)
	}
}

// rise raises newest to id, and reports whether it was lower.
func rise(newest *atomic.Uint64, id job.CheckpointID) bool {
	for known := newest.Load(); uint64(id) > known; known = newest.Load() {
		if newest.CompareAndSwap(known, uint64(id)) {
			return true
		}
	}
	return false
}

// Announced returns the newest checkpoint that was triggered, if the subtask has not taken it
// yet; else 0.
func (w *Wiring) Announced() job.CheckpointID {
	if id := job.CheckpointID(w.announced.Load()); id > w.taken {
		return id
	}
	return 0
}

// Wake receives a value when Announced may have changed.
func (w *Wiring) Wake() <-chan struct{} { return w.wake }

// Taken returns the newest checkpoint that the subtask has taken part in. It is for the
// subtask's goroutine.
func (w *Wiring) Taken() job.CheckpointID { return w.taken }

// Published says that the outputs named in checkpoints up to id are visible. Any goroutine may call it.
func (w *Wiring) Published(id job.CheckpointID) { rise(&w.published, id) }

// Completed says that checkpoint id of this attempt is completed by a committed write. Any goroutine may call it.
func (w *Wiring) Completed(id job.CheckpointID) { w.completed.rise(id) }

// Checkpoint is called by a driver when the barrier of a checkpoint has come on all of its
// inputs, or is to begin here: it sends the barrier on by forward, and snapshots everything.
// An attempt takes an id at most once, and never a lower one (R5).
func (w *Wiring) Checkpoint(id job.CheckpointID, forward func(record.Event) error) error {
	if id <= w.taken {
		return nil
	}
	w.taken = id
	failpoint.TaskAligned.Reached()
	if err := forward(w.barrier(id)); err != nil {
		return err
	}
	failpoint.TaskForwarded.Reached()
	p, began := Prepared{Checkpoint: id}, time.Now()
	if err := w.prepare(&p, w.Enter); err != nil {
		return err
	}
	p.Paused = time.Since(began)
	if w.prepared != nil {
		w.prepared(p)
	}
	return nil
}

// Final returns what the subtask contributes to checkpoint id after its end, when nothing changes
// any more; false: it has taken that one. One goroutine at a time may call it.
func (w *Wiring) Final(id job.CheckpointID) (Prepared, bool, error) {
	if id <= w.taken {
		return Prepared{}, false, nil
	}
	w.taken = id
	p := Prepared{Checkpoint: id}
	err := w.prepare(&p, func(string) {}) // the subtask may be waiting for its consumers, in another's name
	return p, true, err
}

func (w *Wiring) prepare(p *Prepared, enter func(operator string)) error {
	for _, n := range w.stateful {
		enter(n.operator)
		states, err := n.stateful.Snapshot()
		if err != nil {
			return err
		}
		for _, s := range states {
			s.Handle.Operator = n.operator
			p.Snapshots = append(p.Snapshots, s)
		}
	}
	for _, s := range w.sinks {
		outputs, err := s.Prepare(p.Checkpoint)
		if err != nil {
			return err
		}
		p.Outputs = append(p.Outputs, outputs...)
	}
	return nil
}
