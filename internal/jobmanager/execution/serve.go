package execution

import (
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// requesting is what an Execution knows of requests beyond what is committed.
type requesting struct {
	asked   []Request // to be committed
	copying job.ID    // Copy is out for this request
	copied  *Copied   // its answer
	changing
}

// current is the request that is served: the oldest that has not ended.
func (e *Execution) current() *Request {
	i := slices.IndexFunc(e.committed.Requests.Requests, func(r Request) bool { return !r.Stage.Ended() })
	if i < 0 {
		return nil
	}
	return &e.committed.Requests.Requests[i]
}

// reserving is the request for which the open checkpoint is taken, or nil.
func (e *Execution) reserving() *Request {
	if r := e.current(); r != nil && r.Stage == Reserved {
		return r
	}
	return nil
}

// absorbAsked notes a request, unless it is known, or the job is about to end.
func (e *Execution) absorbAsked(ev RequestReceived) {
	open := e.committed.Phase == Created || e.committed.Phase == Running || e.committed.Phase == Restarting
	noted := slices.ContainsFunc(e.asked, func(r Request) bool { return r.ID == ev.Request.ID })
	if !open || noted || e.committed.Known(ev.Request.ID) {
		return
	}
	e.asked = append(e.asked, Request{Request: ev.Request, Stage: Asked, Asked: ev.At})
}

// ask commits what clients ask for, before anything is done for it (R9).
func (e *Execution) ask() []Action {
	asked := e.asked
	if e.asked = nil; len(asked) == 0 || e.committed.Phase.Terminal() {
		return nil
	}
	return e.commit(func(in *Intent) { in.Requests.add(asked) })
}

// serve takes the next step of the request that is served. It reports whether the schedule's
// checkpoints wait for that.
func (e *Execution) serve() (actions []Action, first bool) {
	r := e.current()
	switch {
	case r == nil || !e.allRunning():
		return nil, false
	case r.Stage == Starting:
		return e.commit(func(in *Intent) { in.update(r.ID, func(r *Request) { r.Stage = Done }) }), true
	case r.Stage == Copying:
		return nil, r.Kind == job.StopJob // whose sources would go on
	case r.Stage != Asked:
		return nil, false
	case r.Drain && !e.allFinished():
		// A checkpoint in the midst would have some results out, and not others; but sinks that commit theirs
		// wait for one at the end.
		return e.drain(), !e.settling()
	case r.Kind == job.ChangeJob && !e.fits:
		actions = e.prepareChange(r)
		return actions, e.pending
	}
	return e.reserve(r), true
}

// reserve takes a checkpoint id for the request.
func (e *Execution) reserve(r *Request) []Action {
	e.due = false
	actions := e.commit(func(in *Intent) {
		in.reserve()
		in.update(r.ID, func(r *Request) {
			r.Stage, r.Checkpoint, r.Attempt = Reserved, in.Open, in.Attempt
			if r.Kind == job.ChangeJob {
				r.GraphHash, r.Notes = e.next.Hash(), e.notes
			}
		})
	})
	if r.Kind == job.ChangeJob {
		c := actions[0].(Commit)
		c.Graph = e.next
		actions[0] = c
	}
	return actions
}

// advance takes the request whose checkpoint is completed, or not, a stage further.
func (in *Intent) advance(id job.CheckpointID, failure string) {
	in.each(func(r *Request) {
		switch {
		case r.Stage != Reserved || r.Checkpoint != id:
		case failure != "":
			r.fail(failure)
		case r.Kind == job.TakeCheckpoint:
			r.Stage = Done
		case r.Kind == job.ChangeJob:
			r.Stage, in.Phase, in.Failure = Stopping, Restarting, ""
		default:
			r.Stage = Copying
		}
	})
}

// stops reports whether the trigger of the open checkpoint is to silence the sources.
func (e *Execution) stops() bool {
	r := e.reserving()
	return r != nil && r.holdsSources()
}

// lastWord reports whether a request is to be served before the job comes to its end.
func (e *Execution) lastWord() bool {
	r := e.current()
	return r != nil && r.Kind == job.StopJob && (r.Drain || r.Stage != Asked)
}

// drains reports whether the open checkpoint is the savepoint of a drain.
func (e *Execution) drains() bool {
	r := e.reserving()
	return r != nil && r.Drain
}

// drain has the sources of each part end. No checkpoint is open, and none will be before all have ended.
func (e *Execution) drain() []Action {
	var actions []Action
	for _, p := range e.present() {
		if i := e.instance(p.Instance); i.drained[p.Region] < p.Attempt {
			i.drained[p.Region] = p.Attempt
			actions = append(actions, Drain{p.Part()})
		}
	}
	return actions
}

// copyOut has the checkpoint of a request copied, and commits what came of it.
func (e *Execution) copyOut() []Action {
	r := e.current()
	if r == nil || r.Stage != Copying {
		e.copying, e.copied = "", nil
		return nil
	}
	if e.copied != nil && e.copied.Request == r.ID {
		if r.Kind == job.StopJob && e.copied.Error == "" && !e.committedUpTo(r.Checkpoint) {
			return nil // what the checkpoint names is to be visible when the job ends
		}
		return e.copyEnded(r, *e.copied)
	}
	pointer := e.committed.completed(r.Checkpoint)
	if pointer == nil {
		return e.copyEnded(r, Copied{Error: fmt.Sprintf("checkpoint %d was found damaged", r.Checkpoint)})
	}
	if e.copying == r.ID {
		return nil
	}
	e.copying = r.ID
	return []Action{Copy{Request: r.ID, Pointer: *pointer, Directory: r.Directory}}
}

// copyEnded commits the outcome. With the savepoint of a stop the job comes to its end; without one it runs on.
func (e *Execution) copyEnded(r *Request, c Copied) []Action {
	e.copying, e.copied = "", nil
	if c.Error != "" {
		return e.commit(func(in *Intent) {
			in.undo(r.ID, c.Error)
			e.undrain(in, r, c.Error)
		})
	}
	stops := r.Kind == job.StopJob
	actions := e.commit(func(in *Intent) {
		in.update(r.ID, func(r *Request) { r.Stage, r.Savepoint, r.Size = Done, c.Location, c.Size })
		if stops {
			in.Phase = Publishing
		}
		if r.holdsSources() {
			in.Stopped = in.completed(r.Checkpoint)
		}
	})
	if stops && r.Drain {
		c := actions[0].(Commit)
		c.Outputs = e.outputs()
		actions[0] = c
	}
	return actions
}

// undrain restarts a job whose input was ended for a savepoint that there will not be: from before that.
func (e *Execution) undrain(in *Intent, r *Request, why string) {
	if r != nil && r.Drain && in.Phase == Running {
		e.giveAllUp(in, loss{reason: "its sources were drained for a savepoint that failed: " + why})
	}
}

// resumes reports whether the checkpoint was a stop's that failed, in an attempt of the part: its sources are to go on.
func (e *Execution) resumes(p *part, id job.CheckpointID) bool {
	return slices.ContainsFunc(e.committed.Requests.Requests, func(r Request) bool {
		return r.Checkpoint == id && r.Attempt >= p.Attempt && r.Stage == Refused && r.holdsSources()
	})
}

// resume tells an instance, which may have missed it, of each stop that failed.
func (e *Execution) resume(instance string) []Action {
	return e.goOn(e.committed.Requests.Requests, func(p *part, r *Request) bool { return p.Instance == instance && r.Checkpoint != 0 })
}

// resumed tells the TaskManagers of stops that have failed with this commit, after their checkpoints were closed.
func (e *Execution) resumed(before Intent) []Action {
	return e.goOn(before.Requests.Requests, func(_ *part, r *Request) bool { return r.Stage == Copying })
}

// goOn tells parts of requests that were stops, and failed.
func (e *Execution) goOn(requests []Request, which func(*part, *Request) bool) []Action {
	var actions []Action
	for i := range requests {
		for _, p := range e.present() {
			if r := &requests[i]; e.committed.Phase == Running && which(p, r) && e.resumes(p, r.Checkpoint) {
				actions = append(actions, e.closedAt(p, r.Checkpoint, false))
			}
		}
	}
	return actions
}
