package execution

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// changing is what an Execution knows of the change that is being prepared. It is found out anew by the
// next leader, until the plan is committed.
type changing struct {
	request        job.ID     // whose this is
	planningChange bool       // Plan is out for it
	checking       bool       // CheckSlots is out for it
	fits           bool       // there are slots enough
	next           *job.Graph // its plan; nil: not made yet
	notes          []string   // what it does to the state
}

// prepareChange plans the change, compares the plan with the one that runs, and looks for slots. Whatever is
// wrong is found here, where nothing was stopped.
func (e *Execution) prepareChange(r *Request) []Action {
	switch {
	case e.next == nil && !e.planningChange:
		e.request, e.planningChange = r.ID, true
		return []Action{Plan{Request: r.ID, Spec: r.Change.Apply(e.committed.Present())}}
	case e.next != nil && !e.checking:
		e.checking = true
		return []Action{CheckSlots{Request: r.ID, Slots: e.next.Slots()}}
	}
	return nil
}

// preparing returns the change that is being prepared if it is this one.
func (e *Execution) preparing(id job.ID) *Request {
	r := e.current()
	if r == nil || r.ID != id || r.Kind != job.ChangeJob || r.Stage != Asked || e.pending {
		return nil
	}
	return r
}

// absorbChangePlan compares the plan of a change with the one that runs.
func (e *Execution) absorbChangePlan(planned Planned) []Action {
	r := e.preparing(planned.Request)
	if r == nil || e.next != nil || e.committed.Phase != Running {
		return nil
	}
	failure := planned.failure()
	if failure == "" && planned.Graph.Hash() == e.graph.Hash() && r.Change.Artifact == "" {
		failure = fmt.Sprintf("nothing would change: the job runs on %d slots as it is", e.graph.Slots())
	}
	if failure == "" {
		difference, err := checkpoint.Compare(checkpoint.SourceOf(e.graph), planned.Graph, r.Change.AllowDropped)
		if err == nil {
			e.next, e.notes = planned.Graph, notes(difference)
			return nil
		}
		failure = err.Error()
	}
	return e.refuse(r, failure)
}

// notes tell a person what becomes of the state.
func notes(d checkpoint.Difference) []string {
	var lines []string
	for _, s := range d.Fresh {
		lines = append(lines, s+" begins empty")
	}
	for _, s := range d.Dropped {
		lines = append(lines, s+" is dropped")
	}
	return lines
}

// absorbSlots refuses a change for which there are too few slots.
func (e *Execution) absorbSlots(s SlotsChecked) []Action {
	r := e.preparing(s.Request)
	if r == nil || e.next == nil {
		return nil
	}
	if s.Missing > 0 {
		return e.refuse(r, fmt.Sprintf("it needs %d slots, and %d of them are missing: start TaskManagers, or choose a lower parallelism", e.next.Slots(), s.Missing))
	}
	e.fits = true
	return nil
}

// absorbNotStored gives up the open checkpoint; if none is open it was the plan of a change that cannot be stored.
func (e *Execution) absorbNotStored(ev NotStored) []Action {
	e.pending = false
	if e.committed.Open != 0 {
		e.abort = ev.Error
		return nil
	}
	if r := e.current(); r != nil && r.Kind == job.ChangeJob {
		return e.refuse(r, "its plan cannot be stored: "+ev.Error)
	}
	return nil
}

func (e *Execution) refuse(r *Request, why string) []Action {
	return e.commit(func(in *Intent) { in.update(r.ID, func(r *Request) { r.fail(why) }) })
}

// change puts the request's spec and plan in force: every subtask of the attempt before has ended.
func (e *Execution) change(in *Intent) {
	r := e.current()
	if in.Phase != Created || r == nil || r.Stage != Stopping {
		return
	}
	spec := r.Change.Apply(in.Present())
	in.Changed, in.GraphHash, in.Name, in.Slots = &spec, r.GraphHash, e.next.Name, e.next.Slots()
	in.Changes++
	in.update(r.ID, func(r *Request) { r.Stage = Starting })
}

// entered makes the plan that is in force that of the execution, and forgets what was prepared of a change
// that is not being made.
func (e *Execution) entered(before Intent) {
	if e.committed.Phase == Created && e.committed.GraphHash != before.GraphHash && e.next != nil {
		e.graph, e.subtasks, e.layout = e.next, nil, layout{}
	}
	if r := e.current(); r == nil || r.ID != e.request || r.Stage == Starting || r.Stage == Asked && e.committed.Phase != Running {
		e.changing = changing{}
	}
}
