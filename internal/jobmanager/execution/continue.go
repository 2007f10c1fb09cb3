package execution

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// continuing is what an Execution knows of the savepoint that a new job continues from.
type continuing struct {
	opening bool         // OpenSavepoint is out
	opened  *job.Pointer // it was read, and the job can continue from it
	becomes []string     // what becomes of state, where that is not all kept
}

// awaitsSavepoint reports whether the job is to continue from a savepoint that was not looked at yet.
func (e *Execution) awaitsSavepoint() bool {
	return e.committed.Spec.Savepoint != "" && e.committed.From == nil && e.opened == nil
}

func (e *Execution) openSavepoint() []Action {
	if e.opening {
		return nil
	}
	e.opening = true
	return []Action{OpenSavepoint{Location: e.committed.Spec.Savepoint}}
}

// absorbSavepoint compares the savepoint with the plan. A job that cannot continue from it has failed.
func (e *Execution) absorbSavepoint(ev SavepointOpened) []Action {
	if e.committed.Phase != Created || e.pending || e.graph == nil || !e.awaitsSavepoint() {
		return nil
	}
	failure := ev.Error
	if failure == "" {
		difference, err := checkpoint.Compare(ev.Source, e.graph, e.committed.Spec.AllowDropped)
		if err == nil {
			e.opened, e.becomes = &ev.Pointer, notes(difference)
			return []Action{Note{Lines: e.becomes}}
		}
		failure = err.Error()
	}
	return e.commit(func(in *Intent) {
		in.Phase, in.Failure = Failed, fmt.Sprintf("the job cannot continue from savepoint %s:\n%s", in.Spec.Savepoint, failure)
	})
}

// begin makes the first attempt go on where the savepoint was taken. Attempts and checkpoint ids are above
// its own: what is named by them is there, or was taken, already.
func (e *Execution) begin(in *Intent) {
	if in.From != nil || e.opened == nil {
		return
	}
	in.From, in.Notes = e.opened, e.becomes
	in.Attempt = max(in.Attempt, in.From.Attempt)
	in.Reserved = max(in.Reserved, in.From.Checkpoint)
}
