package execution

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// absorbPlan notes the answer to Plan. A job without a plan has failed.
func (e *Execution) absorbPlan(planned Planned) []Action {
	if planned.Request != "" {
		return e.absorbChangePlan(planned)
	}
	if e.graph != nil || e.committed.Phase != Created || e.pending {
		return nil // answered before, or the job has ended meanwhile
	}
	if failure := planned.failure(); failure != "" {
		return e.commit(func(in *Intent) { in.Phase, in.Failure = Failed, failure })
	}
	e.graph = planned.Graph
	return nil
}

// absorbGrant commits the next attempt on the slots granted (R3: before it is deployed).
func (e *Execution) absorbGrant(granted SlotsGranted) []Action {
	if e.committed.Phase != Created || !e.requested || e.pending {
		return nil // ReleaseSlots is under way
	}
	e.missing = 0
	next := e.committed
	next.Phase = Running
	e.begin(&next)
	next.Attempt++
	next.Assignment = granted.Assignment
	next.GraphHash = e.graph.Hash()
	next.Name, next.Slots = e.graph.Name, e.graph.Slots()
	next.Failure = ""
	// One write commits the attempt, closes the open checkpoint and names what is restored (R4).
	next.Open, next.Restore, next.Unpublished = 0, next.From, e.unpublished()
	if len(next.Completed) > 0 {
		next.Restore = &next.Completed[0]
	}
	e.pending = true
	return []Action{Commit{Intent: next, Graph: e.graph}}
}

// absorbReady notes that a TaskManager is connected, and all that it knows of the job.
func (e *Execution) absorbReady(ready Ready) []Action {
	i := e.instance(ready.Instance)
	if i.dead {
		return nil
	}
	i.connected, i.deployed, i.stopping = true, 0, 0
	delete(e.triggered, ready.Instance)
	delete(e.drained, ready.Instance)
	actions := e.resume(ready.Instance)
	for _, r := range ready.Attempts {
		actions = append(actions, e.absorbReport(ready.Instance, r)...)
	}
	return actions
}

// absorbReport notes the state of an attempt on a TaskManager. An attempt that is not
// the committed one is ended: it was given up, or nobody ever decided on it.
func (e *Execution) absorbReport(instance string, r rpc.AttemptReport) []Action {
	i := e.instance(instance)
	switch {
	case i.dead:
		return nil
	case e.awaits(instance, r.Attempt):
		e.noteReport(instance, r)
		return nil
	case r.Attempt == e.committed.Attempt && e.committed.Phase == Finished:
		return []Action{Confirm{Instance: instance, Attempt: r.Attempt}}
	case i.stopping >= r.Attempt:
		return nil
	}
	i.stopping = r.Attempt
	return append(e.discard(r), Stop{Instance: instance, Attempt: r.Attempt})
}

// discard removes what a given-up attempt wrote, of which the leader that gave it up
// may have died before it could.
func (e *Execution) discard(r rpc.AttemptReport) []Action {
	var outputs []job.Output
	for _, s := range r.Subtasks {
		outputs = append(outputs, s.Outputs...)
	}
	if len(outputs) == 0 || e.committed.Outputs != "" || e.committed.Reserved > 0 {
		return nil // published, named by a checkpoint perhaps, or left for a person to see to
	}
	return []Action{Discard{Outputs: outputs}}
}

// absorbStopped notes a promise. About an attempt that nobody waits for it is also the sign
// that the TaskManager may forget it.
func (e *Execution) absorbStopped(s Stopped) []Action {
	i := e.instance(s.Instance)
	i.stopped = max(i.stopped, s.Attempt)
	if e.awaits(s.Instance, s.Attempt) {
		return nil // close confirms it, once its end is committed
	}
	return []Action{Confirm(s)}
}

// awaits reports whether the attempt is the committed one, not ended, and the instance has a
// part in it.
func (e *Execution) awaits(instance string, attempt job.Attempt) bool {
	in := &e.committed
	return attempt == in.Attempt && in.Holds() && len(in.slotsOf(instance)) > 0
}

// absorbPublished commits the end of the job.
func (e *Execution) absorbPublished(p Published) []Action {
	if e.committed.Phase != Publishing || e.pending {
		return nil
	}
	return e.commit(func(in *Intent) {
		in.Phase = Finished
		if p.Error != "" {
			in.Phase, in.Failure = Failed, fmt.Sprintf("the job ran to its end, but its output could not be made visible: %s", p.Error)
		}
	})
}
