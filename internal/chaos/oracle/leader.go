package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/storage"
)

// dying is how often in a thousand a leader dies at one of the steps at which it may.
const dying = 15

// lead begins a term: all that is known is what is committed, and what the TaskManagers say.
func (w *world) lead() {
	w.epoch++
	w.exec = execution.New(w.intent, w.graph, nil)
	w.step(execution.Began{})
	for _, name := range w.buried {
		w.tell(execution.Dead{Instance: name, Reason: "it was declared dead"})
	}
	for _, m := range w.managers {
		m.report()
	}
}

// depose ends the term. Whatever was under way is not done, and nobody hears of it.
func (w *world) depose(why string) {
	w.note("leader %d dies %s", w.epoch, why)
	w.exec = nil
	w.epoch++
	epoch := w.epoch
	w.after(w.soon(), func() {
		if w.epoch == epoch {
			w.lead()
		}
	})
}

// dies tells whether the leader has just died.
func (w *world) dies(where string) bool {
	if w.Faults == 0 || !w.chance(dying) {
		return false
	}
	w.result.Faults["leader killed at a step"]++
	w.depose(where)
	return true
}

// tell gives the leader an event, if there is a leader.
func (w *world) tell(e execution.Event) {
	if w.exec != nil {
		w.step(e)
	}
}

// later has the leader do something after a while, if it still leads then.
func (w *world) later(d time.Duration, do func()) {
	epoch := w.epoch
	w.after(d, func() {
		if w.epoch == epoch && w.exec != nil {
			do()
		}
	})
}

// step is what an owner does: it performs what follows from an event, and the steps that follow from that.
func (w *world) step(e execution.Event) {
	epoch := w.epoch
	queue := w.exec.Step(e)
	for len(queue) > 0 {
		action := queue[0]
		queue = queue[1:]
		result := w.perform(action)
		if w.epoch != epoch || w.failure != nil {
			return
		}
		if result != nil {
			queue = append(queue, w.exec.Step(result)...)
		}
	}
}

func (w *world) perform(action execution.Action) execution.Event {
	switch a := action.(type) {
	case execution.Commit:
		return w.commit(a)
	case execution.Plan:
		w.later(w.soon(), w.plan)
	case execution.RequestSlots:
		w.later(w.soon(), func() { w.grant(a.Slots) })
	case execution.ReleaseSlots, execution.HoldSlots:
	case execution.Deploy:
		w.to(a.Instance, func(m *manager) { m.part(a.Region).deploy(w.intent, a) })
	case execution.Stop:
		w.to(a.Instance, func(m *manager) { m.part(a.Region).stop(a.Attempt) })
	case execution.Confirm:
		w.to(a.Instance, func(m *manager) { m.part(a.Region).confirm(a.Attempt) })
	case execution.Trigger:
		w.to(a.Instance, func(m *manager) { m.part(a.Region).trigger(a) })
	case execution.Closed:
		w.to(a.Instance, func(m *manager) { m.part(a.Region).closed(a) })
	case execution.PublishCheckpoint:
		w.later(w.soon(), func() { w.publishCheckpoint(a.Pointer) })
	case execution.Publish:
		w.later(w.soon(), func() { w.publish(a.Outputs) })
	case execution.Discard:
		if err := output.Discard(a.Outputs); err != nil {
			w.fail("discard: %v", err)
		}
	default:
		w.fail("unknown action %T", a)
	}
	return nil
}

// to sends something to a TaskManager: it comes a moment later, or never, if the leader dies or the
// connection is cut before.
func (w *world) to(instance string, do func(*manager)) {
	w.later(0, func() {
		for _, m := range w.managers {
			if m.name == instance && m.connected {
				do(m)
			}
		}
	})
}

// plan makes the graph, at the parallelism that the spec has now.
func (w *world) plan() {
	p, err := w.Plan(w.Spec)
	if err != nil {
		w.tell(execution.Planned{Error: err.Error()})
		return
	}
	w.graph = p.Graph
	w.tell(execution.Planned{Graph: p.Graph})
}

// grant gives the job slots wherever. Sometimes the job is given another parallelism before.
func (w *world) grant(slots int) {
	if w.intent.Phase == execution.Created && w.intent.Attempt > 0 && w.Faults > 0 && w.chance(250) {
		w.rescale()
		return
	}
	assignment := make([]string, slots)
	for i := range assignment {
		assignment[i] = w.managers[w.draw.IntN(len(w.managers))].name
	}
	w.tell(execution.SlotsGranted{Assignment: assignment})
}

// rescale continues the job at another parallelism, under another leader.
func (w *world) rescale() {
	spec := w.Spec
	spec.Parallelism = 1 + w.draw.IntN(4)
	p, err := w.Plan(spec)
	if err != nil {
		w.fail("plan at parallelism %d: %v", spec.Parallelism, err)
		return
	}
	w.note("parallelism %d becomes %d", w.Spec.Parallelism, spec.Parallelism)
	w.result.Faults["rescaled"]++
	w.Spec, w.graph = spec, p.Graph
	w.lead()
}

// commit stores and commits, and is where leaders like to die.
func (w *world) commit(c execution.Commit) execution.Event {
	in := c.Intent
	if c.Completes != nil {
		if err := w.storeManifest(c, &in); err != nil {
			return execution.NotStored{Error: err.Error()}
		}
	}
	if in.Phase == execution.Publishing {
		var err error
		if in.Outputs, err = w.store.PutOutputs(w.ctx, in.Spec.ID, in.Attempt, c.Outputs); err != nil {
			w.fail("store the outputs: %v", err)
			return nil
		}
	}
	if w.dies(fmt.Sprintf("before it commits %s", in.Phase)) {
		return nil
	}
	if in.Phase != w.intent.Phase || in.Attempt != w.intent.Attempt {
		w.note("attempt %d is %s, restored %v: %.300s", in.Attempt, in.Phase, in.Restore, in.Failure)
	}
	w.intent = in
	if w.dies(fmt.Sprintf("after it committed %s", in.Phase)) {
		return nil
	}
	if c.Completes != nil || in.Phase == execution.Finished {
		w.after(w.soon()*3, func() { w.collect(in) }) // also if the leader has died meanwhile, and knows nothing newer
	}
	return execution.Committed{Intent: in}
}

func (w *world) storeManifest(c execution.Commit, in *execution.Intent) (err error) {
	p := &in.Completed[0]
	p.Manifest, err = w.store.PutManifest(w.ctx, &checkpoint.Manifest{
		Job: in.Spec.ID, Checkpoint: p.Checkpoint, Epoch: w.epoch, Attempt: p.Attempt, GraphHash: in.GraphHash,
		Bounded: w.exec.Bounded(), Subtasks: c.Completes,
	})
	w.note("checkpoint %d of attempt %d is stored: %v", p.Checkpoint, p.Attempt, err)
	return err
}

// collect deletes what an intent shows to be of no use, and makes sure that nothing else was.
func (w *world) collect(in execution.Intent) {
	var retained []checkpoint.Dir
	if in.Phase != execution.Finished {
		for _, p := range in.Completed {
			m, err := w.store.Manifest(w.ctx, p.Manifest)
			if err != nil {
				return // it may refer to any
			}
			refers, err := storage.Refers(m)
			if err != nil {
				w.fail("collect: %v", err)
				return
			}
			retained = append(append(retained, checkpoint.Dir{Checkpoint: p.Checkpoint, Attempt: p.Attempt}), refers...)
		}
	}
	dirs, err := w.store.ListCheckpoints(w.ctx, in.Spec.ID)
	for _, d := range checkpoint.Garbage(dirs, retained, in.Open, in.Reserved) {
		err = errors.Join(err, w.store.DeleteCheckpoint(w.ctx, in.Spec.ID, d.Checkpoint, d.Attempt))
	}
	if w.away != nil {
		return
	}
	for _, p := range w.intent.Completed {
		if !w.damaged[p.Checkpoint] && !in.Phase.Terminal() {
			err = errors.Join(err, w.whole(p))
		}
	}
	if err != nil {
		w.fail("collect: %v", err)
	}
}

// whole reports what a retained checkpoint lacks.
func (w *world) whole(p job.Pointer) error {
	m, err := w.store.Manifest(w.ctx, p.Manifest)
	if err != nil {
		return err
	}
	for _, ack := range m.Subtasks {
		for _, h := range ack.States {
			if h.File != "" {
				_, e := os.Stat(filepath.Join(w.spoils.Dir, h.File))
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// publishCheckpoint makes visible what a checkpoint names. Nobody takes anything away here: so nothing
// may be missing.
func (w *world) publishCheckpoint(p job.Pointer) {
	m, err := w.store.Manifest(w.ctx, p.Manifest)
	if err != nil {
		w.again(err, func() { w.publishCheckpoint(p) })
		return
	}
	if w.rename(fmt.Sprintf("checkpoint %d", p.Checkpoint), m.Outputs()) {
		w.tell(execution.CheckpointPublished{Checkpoint: p.Checkpoint})
	}
}

func (w *world) publish(name string) {
	outputs, err := w.store.Outputs(w.ctx, name)
	if err != nil {
		w.again(err, func() { w.publish(name) })
		return
	}
	if w.rename("the job's end", outputs) {
		w.tell(execution.Published{})
	}
}

// again repeats what storage could not do.
func (w *world) again(err error, do func()) {
	if errors.Is(err, storage.ErrDamaged) || w.away == nil {
		w.fail("storage: %v", err)
		return
	}
	w.later(50*time.Millisecond, do)
}

// rename makes outputs visible one by one; false: the leader died meanwhile.
func (w *world) rename(what string, outputs []job.Output) bool {
	for i, o := range outputs {
		if w.dies(fmt.Sprintf("after %d of %d renames", i, len(outputs))) {
			return false
		}
		if err := output.Publish([]job.Output{o}); err != nil {
			w.fail("make visible what %s names: %v", what, err)
			return false
		}
	}
	return !w.dies("after all renames")
}
