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
	if e.seeks > 0 {
		e.absorbReserved(granted.Assignment)
		return nil
	}
	if !e.requested || len(granted.Assignment) != e.wanted {
		return nil // ReleaseSlots is under way, or others are asked for
	}
	if e.pending {
		e.requested = false // they are asked for again, if they still are wanted after the commit
		return nil
	}
	if e.committed.Phase == Running && len(e.committed.GivenUp) > 0 {
		return e.absorbReplacements(granted.Assignment)
	}
	if e.committed.Phase != Created {
		return nil
	}
	next := e.committed
	next.Phase = Running
	e.begin(&next)
	next.Attempt++
	next.Regions, next.Assignment = nil, granted.Assignment
	next.GraphHash = e.graph.Hash()
	next.Name, next.Slots = e.graph.Name, e.graph.Slots()
	actions := e.begins(next)
	c := actions[0].(Commit)
	c.Graph = e.graph
	return []Action{c}
}

// begins commits an attempt. One write commits it, closes the open checkpoint and names what is restored (R4).
func (e *Execution) begins(next Intent) []Action {
	e.missing = 0
	next.Failure, next.Uncounted = "", false
	next.Open, next.Restore, next.Unpublished = 0, next.From, e.unpublished()
	if len(next.Completed) > 0 {
		next.Restore = &next.Completed[0]
	}
	e.pending = true
	return []Action{Commit{Intent: next}}
}

// absorbReady notes that a TaskManager is connected, and all that it knows of the job.
func (e *Execution) absorbReady(ready Ready) []Action {
	i := e.instance(ready.Instance)
	if i.dead {
		return nil
	}
	i.connected, i.sent = true, nothingSent()
	actions := e.resume(ready.Instance)
	for _, r := range ready.Attempts {
		actions = append(actions, e.absorbReport(ready.Instance, r)...)
	}
	return actions
}

// absorbReport notes the state of an attempt on a TaskManager. An attempt that is not
// the committed one is ended: it was given up, or nobody ever decided on it.
func (e *Execution) absorbReport(instance string, r rpc.AttemptReport) []Action {
	i, named := e.instance(instance), Part{instance, r.Region, r.Attempt}
	if i.dead {
		return nil
	}
	if p := e.awaited(named); p != nil {
		e.noteReport(p, r)
		return nil
	}
	switch {
	case e.committed.Phase == Finished && r.Attempt == e.committed.attempt(r.Region):
		return []Action{Confirm{named}}
	case i.stopping[r.Region] >= r.Attempt:
		return nil
	}
	i.stopping[r.Region] = r.Attempt
	return append(e.discard(r), Stop{named})
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
	i.stopped[s.Region] = max(i.stopped[s.Region], s.Attempt)
	if e.awaited(s.Part) != nil {
		return nil // it is confirmed once its end is committed
	}
	return []Action{Confirm(s)}
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
