package execution

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// defaultRetain is how many completed checkpoints are kept.
const defaultRetain = 3

// checkpointing is what an Execution knows of checkpoints beyond what is committed.
type checkpointing struct {
	retain    int
	tolerable int
	due       bool   // the schedule wants one
	last      bool   // the one that the job's end waits for was reserved, once
	abort     string // why the open one is to be given up, or ""
	acks      map[job.Subtask]job.Acknowledgement
	renaming  bool             // PublishCheckpoint is out
	renamed   job.CheckpointID // the newest whose outputs are visible
	unnamable string           // why outputs cannot be made visible, ever; or ""
}

// maxAbort bounds the text of an abort, in bytes: it stays in the intent.
const maxAbort = 500

// Tolerate sets after how many aborted checkpoints in a row the job is restarted; below zero: never.
func (e *Execution) Tolerate(n int) { e.tolerable = n }

// Retain sets how many completed checkpoints are kept, at least one.
func (e *Execution) Retain(n int) { e.retain = max(n, 1) }

// forgetCheckpoint forgets what was said about the open checkpoint of the attempt before.
func (e *Execution) forgetCheckpoint() {
	e.abort, e.acks = "", nil
}

// checkpoint takes the next step of the job's checkpoints: to reserve one, to trigger it, to complete or
// to abort it, and to make visible what a completed one names.
func (e *Execution) checkpoint() []Action {
	switch {
	case e.committed.Open != 0:
		return e.collect()
	case e.unpublished():
		return e.publishCheckpoint()
	}
	served, first := e.serve()
	if !first && (e.due || e.settling() && !e.last) && e.allRunning() {
		e.due, e.last = false, e.settling()
		served = append(served, e.commit((*Intent).reserve)...)
	}
	return served
}

// reserve opens a checkpoint under the next id.
func (in *Intent) reserve() {
	in.Reserved++
	in.Open = in.Reserved
}

// collect sees the open checkpoint to its end.
func (e *Execution) collect() []Action {
	if e.abort != "" {
		return e.aborts(e.abort)
	}
	if acks, complete := e.complete(); complete {
		return e.completes(acks)
	}
	var actions []Action
	for _, p := range e.present() {
		if i := e.instance(p.Instance); i.triggered[p.Region] < e.committed.Open {
			i.triggered[p.Region] = e.committed.Open
			actions = append(actions, Trigger{Part: p.Part(), Checkpoint: e.committed.Open, Base: e.newest(), Stop: e.stops()})
		}
	}
	return actions
}

// newest is the newest completed checkpoint, or 0. It is the one that the open one may refer to (R13): no other
// completes while that is open.
func (e *Execution) newest() job.CheckpointID {
	if len(e.committed.Completed) == 0 {
		return 0
	}
	return e.committed.Completed[0].Checkpoint
}

// complete returns the acknowledgements of all subtasks, if all are there.
func (e *Execution) complete() ([]job.Acknowledgement, bool) {
	var subtasks []job.Subtask
	for slot := range e.graph.Slots() {
		subtasks = append(subtasks, e.graph.SlotSubtasks(slot)...)
	}
	if complete, _, _ := checkpoint.Collect(e.acks, subtasks, e.committed.Open); !complete {
		return nil, false
	}
	return slices.Collect(maps.Values(e.acks)), true
}

// aborts closes the open checkpoint without a result. The job goes on, unless too many in a row were
// aborted, or its input was ended for this one.
func (e *Execution) aborts(why string) []Action {
	r := e.reserving()
	return e.commit(func(in *Intent) {
		id := in.Open
		in.Open, in.Aborted, in.Failures, in.LastAbort = 0, in.Aborted+1, in.Failures+1, abortedAs(id, why)
		in.advance(id, in.LastAbort)
		if e.tolerable >= 0 && in.Failures > e.tolerable {
			e.giveAllUp(in, loss{reason: fmt.Sprintf("%d checkpoints in a row failed (checkpoint.tolerable-failures is %d); the last: %s", in.Failures, e.tolerable, in.LastAbort)})
			in.Failures = 0
		}
		e.undrain(in, r, why)
	})
}

func (e *Execution) completes(acks []job.Acknowledgement) []Action {
	m := checkpoint.Manifest{Subtasks: acks}
	// What was put out by a job whose sources were drained becomes visible with its end, and not if that
	// fails: then the job goes back to the checkpoint before.
	visible := !e.graph.Bounded && !e.drains()
	actions := e.commit(func(in *Intent) {
		pointer := job.Pointer{Checkpoint: in.Open, Attempt: in.Attempt, Size: m.Size(), Triggered: in.ReservedAt}
		in.advance(in.Open, "")
		in.Completed = in.retained(append([]job.Pointer{pointer}, in.Completed...), e.retain)
		in.Open, in.Restarts, in.Failures, in.Unpublished = 0, 0, 0, len(m.Outputs()) > 0 && visible
	})
	c := actions[0].(Commit)
	c.Completes = acks
	c.Intent.Completions++
	for _, ack := range acks {
		newest := &c.Intent.Completed[0]
		newest.Paused = max(newest.Paused, ack.Paused)
	}
	return []Action{c}
}

// allRunning reports whether every subtask runs, or has finished: before that none could
// contribute.
func (e *Execution) allRunning() bool {
	all := len(e.subtasks) > 0 && len(e.committed.GivenUp) == 0
	e.each(func(s *subtask) { all = all && (s.state == job.Running || s.state == job.Finished) })
	return all
}

// closed tells the TaskManagers that a checkpoint is completed or aborted, which is committed.
func (e *Execution) closed(before Intent) []Action {
	if before.Open == 0 || e.committed.Open != 0 {
		return nil
	}
	e.forgetCheckpoint()
	return e.tellClosed(before.Open, false)
}

func (e *Execution) tellClosed(id job.CheckpointID, published bool) []Action {
	var actions []Action
	for _, p := range e.present() {
		actions = append(actions, e.closedAt(p, id, published))
	}
	return actions
}

func (e *Execution) closedAt(p *part, id job.CheckpointID, published bool) Closed {
	return Closed{Part: p.Part(), Checkpoint: id, Completed: e.newest(), Published: published, Resume: e.resumes(p, id)}
}

// absorbAcknowledged notes what a subtask contributes. About a checkpoint that is not open it is
// answered: the TaskManager holds it until it hears that it is closed.
func (e *Execution) absorbAcknowledged(a Acknowledged) []Action {
	p := e.partOf(a.Ack.Subtask)
	if p == nil || e.committed.Phase != Running || p.Instance != a.Instance || p.Attempt != a.Attempt || e.givenUp(p) {
		return nil
	}
	e.noteAcknowledgement(a.Ack)
	if a.Ack.Checkpoint <= e.committed.Reserved && a.Ack.Checkpoint != e.committed.Open {
		return []Action{e.closedAt(p, a.Ack.Checkpoint, false)}
	}
	return nil
}

// noteAcknowledgement takes an acknowledgement of a committed attempt for the open checkpoint (R5).
func (e *Execution) noteAcknowledgement(ack job.Acknowledgement) {
	if ack.Checkpoint != e.committed.Open || ack.Checkpoint == 0 {
		return
	}
	if ack.Failure != "" {
		e.abort = cmp.Or(e.abort, ack.Failure)
		return
	}
	if e.acks == nil {
		e.acks = make(map[job.Subtask]job.Acknowledgement)
	}
	e.acks[ack.Subtask] = ack
}

// unpublished reports whether outputs of the newest completed checkpoint may still have to be renamed.
func (e *Execution) unpublished() bool {
	return e.committed.Unpublished && len(e.committed.Completed) > 0 && e.renamed != e.committed.Completed[0].Checkpoint
}

func (e *Execution) publishCheckpoint() []Action {
	if !e.unpublished() || e.renaming {
		return nil
	}
	e.renaming = true
	return []Action{PublishCheckpoint{Pointer: e.committed.Completed[0]}}
}

// absorbCheckpointPublished lets the sinks forget what is visible.
func (e *Execution) absorbCheckpointPublished(p CheckpointPublished) []Action {
	e.renaming, e.renamed, e.unnamable = false, p.Checkpoint, p.Error
	if e.committed.Phase != Running || p.Unreadable || p.Error != "" {
		return nil
	}
	return e.tellClosed(p.Checkpoint, true)
}

// strike takes a damaged checkpoint out of what can be restored, and goes back to the one before. With
// none left the job fails: to begin at the beginning would be to lose what was acknowledged. A job that
// fails keeps all of them: its files stay for a person to see to.
func (e *Execution) strike(id job.CheckpointID, why string) []Action {
	left := slices.DeleteFunc(slices.Clone(e.committed.Completed), func(p job.Pointer) bool { return p.Checkpoint >= id })
	return e.commit(func(in *Intent) {
		if len(left) == 0 {
			in.Phase, in.Failure = Failing, "no checkpoint can be restored; every file is kept. "+why
			if in.Restore != nil && in.Restore.Savepoint != "" {
				in.Failure = fmt.Sprintf("savepoint %s cannot be restored. %s", in.Restore.Savepoint, why)
			}
			return
		}
		if e.giveAllUp(in, loss{reason: why}) {
			in.Completed, in.Unpublished, in.Damaged = left, false, why
		}
	})
}

// Bounded reports whether the job comes to an end by itself: then nothing is visible before.
func (e *Execution) Bounded() bool { return e.graph != nil && e.graph.Bounded }
