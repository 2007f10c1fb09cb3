package execution

import (
	"cmp"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// Execution is one job under one leader. It has one owner, who calls Step for one event after
// the other. It is not for use by several goroutines at once.
type Execution struct {
	committed Intent
	pending   bool       // a Commit is under way: events are noted, decisions wait for its outcome
	graph     *job.Graph // nil until planned

	planning   bool // Plan is out
	requested  bool // RequestSlots is out
	wanted     int  // slots that it asks for
	missing    int  // slots that are missing meanwhile
	yields     bool // it is to give up all that it has, until there are enough
	publishing bool // Publish is out
	cancel     bool // a client wants an end

	noRestart string // why the job may not be restarted now, or ""

	layout
	subtasks [][]subtask // of the committed attempts: by vertex, by index
	checkpointing
	requesting
	continuing
	moving
	instances map[string]*instance
}

// instance is what an Execution knows of a TaskManager.
type instance struct {
	connected bool // it has said what it runs
	dead      bool
	reason    string    // of its death
	planned   bool      // that was
	until     time.Time // its attempts may run until then; zero: they do not
	draining  bool      // what is there is to move
	force     bool      // at once
	sent
	stopped map[int]job.Attempt // promised, for ever, by region
}

// sent is what was sent to an instance over the present connection, by region.
type sent struct {
	deployed, stopping, drained map[int]job.Attempt
	triggered                   map[int]job.CheckpointID
}

func nothingSent() sent {
	return sent{map[int]job.Attempt{}, map[int]job.Attempt{}, map[int]job.Attempt{}, map[int]job.CheckpointID{}}
}

// New returns the execution of a job as it was committed. graph is what GraphHash names, and next what
// that of a change that is being made names, nil if those are empty; the execution does not change them. The
// first event is Began.
func New(committed Intent, graph, next *job.Graph) *Execution {
	e := &Execution{committed: committed, graph: graph, instances: make(map[string]*instance)}
	e.retain, e.tolerable = defaultRetain, -1
	if r := e.current(); r != nil {
		e.changing = changing{request: r.ID, next: next}
	}
	e.layOut()
	e.resetSubtasks()
	return e
}

// RefuseRestart says, before a Step, why the job may not be restarted now: it fails instead. With "" it may.
func (e *Execution) RefuseRestart(why string) { e.noRestart = why }

// Intent is the job as committed. The caller does not change what it refers to.
func (e *Execution) Intent() Intent { return e.committed }

// Step takes in one event, and returns what is to be done now.
func (e *Execution) Step(event Event) []Action {
	actions := e.absorb(event)
	if e.pending {
		return actions
	}
	return append(actions, e.decide()...)
}

// absorb notes what an event says. The actions it returns are those that follow from the event
// alone, whatever state the job is in.
func (e *Execution) absorb(event Event) []Action {
	switch ev := event.(type) {
	case Committed:
		return e.enter(ev.Intent)
	case Planned:
		return e.absorbPlan(ev)
	case SlotsMissing:
		e.missing = ev.Missing
	case Yield:
		e.yields = len(e.committed.GivenUp) > 0
	case SlotsGranted:
		return e.absorbGrant(ev)
	case Ready:
		return e.absorbReady(ev)
	case Gone:
		i := e.instance(ev.Instance)
		i.connected, i.sent = false, nothingSent()
	case Dead:
		i := e.instance(ev.Instance)
		i.connected, i.dead, i.reason, i.planned, i.until = false, true, ev.Reason, ev.Planned, ev.Until
	case Over:
		e.instance(ev.Instance).until = time.Time{}
	case Draining:
		i := e.instance(ev.Instance)
		i.draining, i.force = true, ev.Force
	case Changed:
		return e.absorbReport(ev.Instance, ev.Attempt)
	case Stopped:
		return e.absorbStopped(ev)
	case Progressed:
		e.absorbProgress(ev.Progress)
	case CancelRequested:
		e.cancel = true
	case Published:
		return e.absorbPublished(ev)
	case CheckpointDue:
		e.due = true
	case CheckpointExpired:
		if ev.Checkpoint == e.committed.Open {
			e.abort = "it was not complete in time"
		}
	case Acknowledged:
		return e.absorbAcknowledged(ev)
	case CheckpointPublished:
		return e.absorbCheckpointPublished(ev)
	case NotStored:
		return e.absorbNotStored(ev)
	case RequestReceived:
		e.absorbAsked(ev)
	case SlotsChecked:
		return e.absorbSlots(ev)
	case SavepointOpened:
		return e.absorbSavepoint(ev)
	case Copied:
		e.copied = &ev
	}
	return nil
}

// decide compares what is committed with what is known. It depends on the present alone, never on
// how it came about: that is what makes a new leader's adoption the same code as normal life.
func (e *Execution) decide() []Action {
	if actions := e.ask(); e.pending {
		return actions
	}
	actions := e.copyOut()
	if e.pending {
		return actions
	}
	return append(actions, e.proceed()...)
}

// proceed takes the next step of the phase.
func (e *Execution) proceed() []Action {
	switch e.committed.Phase {
	case Created:
		return e.created()
	case Running:
		return e.running()
	case Publishing:
		return e.publish()
	case Failing, Cancelling, Restarting:
		return e.ending()
	default: // terminal: late reports are answered as they come
		return nil
	}
}

// created plans, waits for slots and commits the next attempt.
func (e *Execution) created() []Action {
	switch {
	case e.cancel:
		return e.commit(func(in *Intent) { in.Phase = Canceled })
	case e.graph == nil && !e.planning:
		e.planning = true
		return []Action{Plan{Spec: e.committed.Present()}}
	case e.graph != nil && e.awaitsSavepoint():
		return e.openSavepoint()
	case e.graph != nil && !e.requested:
		return e.requestSlots(e.graph.Slots(), nil)
	}
	return nil
}

// running sees to it that the attempt runs where it was committed to, and to its end.
func (e *Execution) running() []Action {
	if e.cancel {
		return e.commit(func(in *Intent) { in.Phase = Cancelling })
	}
	// A lost TaskManager explains failures around it, so it is looked at first.
	if regions, why := e.lost(); why.reason != "" {
		return e.restart(regions, why)
	}
	if e.yields && len(e.committed.GivenUp) > 0 {
		return e.commit(func(in *Intent) {
			e.giveAllUp(in, loss{"it waits for slots, and gives way to a job that waits longer. " + in.Failure, true})
		})
	}
	if id, why := e.damaged(); id != 0 {
		return e.strike(id, why)
	}
	if failure := cmp.Or(e.failure(), e.unnamable); failure != "" {
		return e.commit(func(in *Intent) { in.Phase, in.Failure = Failing, failure })
	}
	if regions, reason := e.killed(); reason != "" {
		return e.restart(regions, loss{reason: reason})
	}
	if e.allFinished() && !e.lastWord() {
		return e.finish()
	}
	// Others may wait for ever for what that process owed them, unless all have finished: so all
	// are heard first. One that cannot be heard is declared dead, and is lost.
	if p := e.crashed(); p != nil && e.Adopted() && p.crashKilled {
		return e.restart(p.regions, loss{reason: p.crash})
	} else if p != nil && e.Adopted() {
		return e.commit(func(in *Intent) { in.Phase, in.Failure = Failing, p.crash })
	}
	actions := append(e.deploy(), e.mend()...)
	for _, next := range []func() []Action{e.move, e.checkpoint} {
		if e.pending {
			return actions
		}
		actions = append(actions, next()...)
	}
	return actions
}

// finish commits the list of what becomes visible.
func (e *Execution) finish() []Action {
	actions := e.commit(func(in *Intent) { in.Phase, in.Open, in.Unpublished = Publishing, 0, e.committed.Unpublished })
	c := actions[0].(Commit)
	c.Outputs = e.outputs()
	return []Action{c}
}

// lost tells which regions cannot go on although none of their subtasks failed, and why. It was planned if that is
// so of each of them.
func (e *Execution) lost() (regions []int, why loss) {
	why.planned = true
	for i := range e.parts {
		p := &e.parts[i]
		reason := e.partLost(p)
		if reason == "" || e.givenUp(p) {
			continue
		}
		regions, why.reason = append(regions, p.regions...), cmp.Or(why.reason, reason)
		why.planned = why.planned && e.instance(p.Instance).planned
	}
	return regions, why
}

// partLost says why a part cannot go on, or "".
func (e *Execution) partLost(p *part) string {
	switch i := e.instance(p.Instance); {
	case i.dead:
		return fmt.Sprintf("TaskManager %s was lost: %s", p.Instance, i.reason)
	case i.stopped[p.Region] >= p.Attempt:
		return fmt.Sprintf("TaskManager %s does not run attempt %d any more", p.Instance, p.Attempt)
	}
	for _, s := range p.Subtasks {
		if e.find(s).state == job.Canceled {
			return fmt.Sprintf("TaskManager %s ended subtask %d of %q", p.Instance, s.Index, e.graph.Vertices[s.Vertex].Name)
		}
	}
	return ""
}

// deploy sends to each connected instance the parts that it has not reported whole. What is
// sent twice changes nothing there, so a leader that died in the midst of this costs nothing.
func (e *Execution) deploy() []Action {
	var actions []Action
	for _, p := range e.present() {
		i := e.instance(p.Instance)
		if i.deployed[p.Region] == p.Attempt || e.reported(p) {
			continue
		}
		i.deployed[p.Region] = p.Attempt
		actions = append(actions, Deploy{p.Part(), p.Slots, p.Subtasks})
	}
	return actions
}

func (e *Execution) publish() []Action {
	if e.publishing {
		return nil
	}
	e.publishing = true
	return []Action{Publish{Outputs: e.committed.Outputs, Stopped: e.committed.Stopped}}
}

// ending stops the attempt everywhere, and commits what follows once each of its
// TaskManagers has promised, or is dead.
func (e *Execution) ending() []Action {
	in := &e.committed
	if e.cancel && in.Phase == Restarting {
		return e.commit(func(in *Intent) { in.Phase = Cancelling })
	}
	actions, waiting := e.stop(func(*part) bool { return true }, in.Phase == Restarting)
	if waiting {
		return actions
	}
	if publish := e.publishCheckpoint(); publish != nil || e.unpublished() {
		return publish // a restored attempt inherits no output that is to be renamed
	}
	after := map[Phase]Phase{Failing: Failed, Cancelling: Canceled, Restarting: Created}
	return e.commit(func(in *Intent) {
		in.Phase, in.Open, in.GivenUp = after[in.Phase], 0, nil
		e.change(in)
	})
}

// stop ends parts, and reports whether one may still run: it has not promised that it does not, and no death says so (R4, R5). Where no
// other attempt is to follow, nobody waits for the lease of a TaskManager that is dead.
func (e *Execution) stop(which func(*part) bool, follows bool) (actions []Action, waiting bool) {
	for k := range e.parts {
		p := &e.parts[k]
		i := e.instance(p.Instance)
		if !which(p) || !i.mayRun(p) || i.dead && !follows {
			continue
		}
		waiting = true
		if i.connected && i.stopping[p.Region] < p.Attempt {
			i.stopping[p.Region] = p.Attempt
			actions = append(actions, Stop{p.Part()})
		}
	}
	return actions, waiting
}

// mayRun reports whether a part may run on the instance: it is neither known to have ended there, nor is the instance dead without a
// lease that may last.
func (i *instance) mayRun(p *part) bool {
	return i.stopped[p.Region] < p.Attempt && (!i.dead || !i.until.IsZero())
}

// commit returns the one action that changes the intent.
func (e *Execution) commit(change func(*Intent)) []Action {
	next := e.committed
	next.Unpublished = e.unpublished()
	change(&next)
	next.settle()
	e.pending = true
	return []Action{Commit{Intent: next}}
}

// enter makes a committed intent the present one, and returns what goes out because of it.
func (e *Execution) enter(in Intent) []Action {
	before, parts := e.committed, e.parts
	e.committed, e.pending = in, false
	if in.Attempt != before.Attempt {
		e.layOut()
	}
	actions := e.follows(before, parts)
	e.entered(before)
	return actions
}

// follows is what a committed intent leads to.
func (e *Execution) follows(before Intent, parts []part) []Action {
	in := &e.committed
	switch {
	case in.Phase == Running && before.Phase == Running:
		actions := append(e.closed(before), e.resumed(before)...)
		return append(actions, e.replaced(before, parts)...)
	case in.Phase == Running:
		e.resetSubtasks()
		return nil
	case in.Phase == Created && before.Phase == Created: // of a request: the slots are still wanted
		return nil
	case in.Phase == Created || in.Phase.Terminal():
		e.requested, e.missing, e.yields, e.moving = false, 0, false, moving{}
		return append([]Action{ReleaseSlots{}}, e.close(before.Phase)...)
	}
	return nil
}

// close tells the TaskManagers of the attempt that its outcome is committed, and removes what
// it wrote if that is not to be seen.
func (e *Execution) close(before Phase) []Action {
	var actions []Action
	// What a checkpoint may name is kept, unless nobody will ever continue from it (R13).
	kept := e.committed.Reserved > 0 && e.committed.Phase != Canceled
	if outputs := e.outputs(); len(outputs) > 0 && before != Publishing && !kept {
		actions = append(actions, Discard{Outputs: outputs})
	}
	for i := range e.parts {
		if p := &e.parts[i]; e.instance(p.Instance).connected && before != Created {
			actions = append(actions, Confirm{p.Part()})
		}
	}
	return actions
}

func (e *Execution) instance(name string) *instance {
	i := e.instances[name]
	if i == nil {
		i = &instance{sent: nothingSent(), stopped: map[int]job.Attempt{}}
		e.instances[name] = i
	}
	return i
}
