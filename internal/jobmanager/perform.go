package jobmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// perform does what an execution asks for. It returns what came of it, if that is known at
// once; an error ends the term.
func (o *owner) perform(ctx context.Context, action execution.Action) (execution.Event, error) {
	switch a := action.(type) {
	case execution.Commit:
		return o.commit(ctx, a)
	case execution.Plan:
		o.registry.post(planWanted{o.id, a.Request, a.Spec})
	case execution.CheckSlots:
		o.registry.post(checkSlots{o.id, a.Request, a.Slots})
	case execution.OpenSavepoint:
		o.jobs.spawn(func() { o.openSavepoint(ctx, a.Location) })
	case execution.Copy:
		in := o.exec.Intent()
		o.jobs.spawn(func() { o.copyOut(ctx, a, in) })
	case execution.Note:
		for _, line := range a.Lines {
			o.log.Info("the job continues from a savepoint: "+line, "job", o.id)
		}
	case execution.RequestSlots:
		o.clock.wantSlots(a, o.cfg.Restart.Wait(a.Restarts))
	case execution.ReleaseSlots:
		o.clock.wanted = nil
		o.registry.post(released{o.id})
	case execution.HoldSlots:
		o.clock.wanted = nil
		o.registry.post(slotsHeld{o.id, a.Assignment})
	case execution.Deploy:
		o.deploy(a)
	case execution.Stop:
		o.registry.post(sendWanted{a.Instance, rpc.Stop{Instance: a.Instance, Job: o.id, Region: a.Region, Attempt: a.Attempt}})
	case execution.Confirm:
		o.registry.post(sendWanted{a.Instance, rpc.Confirm{Job: o.id, Region: a.Region, Attempt: a.Attempt}})
	case execution.Trigger:
		o.registry.post(sendWanted{a.Instance, rpc.Trigger{
			Instance: a.Instance, Job: o.id, Region: a.Region, Attempt: a.Attempt, Checkpoint: a.Checkpoint, Base: a.Base, Stop: a.Stop,
		}})
	case execution.Drain:
		o.registry.post(sendWanted{a.Instance, rpc.Drain{Instance: a.Instance, Job: o.id, Region: a.Region, Attempt: a.Attempt}})
	case execution.Closed:
		o.registry.post(sendWanted{a.Instance, rpc.Closed{
			Instance: a.Instance, Job: o.id, Region: a.Region, Attempt: a.Attempt, Checkpoint: a.Checkpoint,
			Completed: a.Completed, Published: a.Published, Resume: a.Resume,
		}})
	case execution.PublishCheckpoint:
		o.jobs.spawn(func() { o.publishCheckpoint(ctx, a.Pointer) })
	case execution.Publish:
		publish := output.Publish
		if !o.exec.Bounded() {
			publish = o.publishLeft
		}
		o.jobs.spawn(func() { o.publish(ctx, a, publish) })
	case execution.Discard:
		if err := output.Discard(a.Outputs); err != nil {
			o.log.Warn("files of an attempt that was given up stay behind", "job", o.id, "error", err)
		}
	default:
		return nil, fmt.Errorf("job %s: unknown action %T", o.id, action)
	}
	return nil, nil
}

func (o *owner) deploy(a execution.Deploy) {
	o.miss(a.Subtasks)
	in := o.exec.Intent()
	o.registry.post(deployWanted{assignment: in.Assignment, deploy: rpc.Deploy{
		Instance: a.Instance, Spec: in.Present(), GraphHash: in.GraphHash, Region: a.Region, Attempt: a.Attempt,
		Slots: a.Slots, Subtasks: a.Subtasks, Restore: in.Restore,
	}})
}

// commit stores what the intent points to, and then commits it, under the epoch and over the
// version that it was decided from (R1).
func (o *owner) commit(ctx context.Context, c execution.Commit) (execution.Event, error) {
	in, before := c.Intent, o.exec.Intent()
	if in.Phase.Terminal() {
		now := time.Now().UTC()
		in.Finished = &now
	}
	o.stamp(c, &in)
	if c.Completes != nil {
		if err := o.storeManifest(ctx, c, &in); err != nil {
			o.log.Warn("a checkpoint cannot be stored; the job goes on", "job", o.id, "checkpoint", in.Reserved, "error", err)
			o.counts.storageFailures.Add(1)
			return execution.NotStored{Error: err.Error()}, nil
		}
	}
	if c.Graph != nil && before.Phase == execution.Running { // a change can be refused; what runs is not to wait for it
		if err := o.storeGraph(ctx, c.Graph); err != nil {
			o.counts.storageFailures.Add(1)
			return execution.NotStored{Error: err.Error()}, nil
		}
		c.Graph = nil
	}
	var value []byte
	err := o.persist(ctx, "store what is committed", func() (err error) {
		value, err = o.store(ctx, c, &in)
		return err
	})
	if err != nil {
		return nil, err
	}
	passed := passing(c, before, in)
	passed[0].Reached()
	versions, err := o.term.Commit(ctx, coordination.Set(intentKey(o.id), value, o.version))
	if err != nil {
		return nil, fmt.Errorf("commit job %s as %s: %w", o.id, in.Phase, err)
	}
	o.version = versions[0]
	passed[1].Reached()
	o.supersede(ctx, blobOf(value))
	o.tell(before, in)
	if c.Completes != nil || in.Reserved > 0 && (in.Phase == execution.Finished || in.Phase == execution.Canceled) {
		o.collectGarbage(in)
	}
	return execution.Committed{Intent: in}, nil
}

// supersede removes the object of the intent that a commit has replaced: nothing refers to it any more (R13). It does so
// before the next is stored, which could be the same again.
func (o *owner) supersede(ctx context.Context, blob string) {
	if o.blob != "" && o.blob != blob {
		o.removeIntent(ctx, o.blob)
	}
	o.blob = blob
}

func (o *owner) removeIntent(ctx context.Context, blob string) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := o.cfg.Storage.DeleteIntent(ctx, blob); err != nil {
		o.log.Warn("an intent that was replaced stays in storage", "job", o.id, "intent", blob, "error", err)
	}
}

// storeGraph stores a plan, which is not removed before it is committed.
func (o *owner) storeGraph(ctx context.Context, g *job.Graph) error {
	if err := o.garbage.use(storage.GraphName(g.Hash())); err != nil {
		return err
	}
	_, err := o.cfg.Storage.PutGraph(ctx, g)
	return err
}

// store writes what the intent names to storage, and returns the value to commit.
func (o *owner) store(ctx context.Context, c execution.Commit, in *execution.Intent) ([]byte, error) {
	if c.Graph != nil {
		if err := o.storeGraph(ctx, c.Graph); err != nil {
			return nil, err
		}
	}
	if in.Phase == execution.Publishing && in.Stopped == nil {
		name, err := o.cfg.Storage.PutOutputs(ctx, o.id, in.Attempt, c.Outputs)
		if err != nil {
			return nil, err
		}
		in.Outputs = name
	}
	return encodeIntent(ctx, o.cfg.Storage, *in)
}

// tell logs what was committed, unless it is a step of a checkpoint.
func (o *owner) tell(before, in execution.Intent) {
	o.tellRequests(&before, &in)
	if in.Phase != before.Phase || in.Attempt != before.Attempt {
		o.report(in)
	}
	switch {
	case len(in.GivenUp) > len(before.GivenUp):
		o.log.Warn("a part of the job restarts; the others run on", "job", o.id, "regions", in.GivenUp, "reason", inOneLine(in.Failure))
	case in.Aborted > before.Aborted && in.Failures <= 1:
		o.log.Warn("a checkpoint was given up; the job goes on, and it is said when one succeeds again", "job", o.id, "reason", in.LastAbort)
	case before.Failures > 0 && in.Failures == 0 && in.Aborted == before.Aborted:
		o.log.Info("checkpoints succeed again", "job", o.id, "failed", before.Failures)
	}
}

// report logs a change of phase. Of a failure the first line is enough: the stack or the tail of
// a standard error that follows is in the job's description.
func (o *owner) report(in execution.Intent) {
	log := o.log.With("job", o.id, "name", cmp.Or(in.Name, o.spec.Name), "attempt", in.Attempt)
	if in.Failure == "" {
		log.Info("the job is " + string(in.Phase))
		return
	}
	log.Warn("the job is "+string(in.Phase), "reason", inOneLine(in.Failure))
}

// inOneLine is the first line of a failure, and the second if the first announces it.
func inOneLine(failure string) string {
	reason, more, _ := strings.Cut(strings.TrimSpace(failure), "\n")
	if strings.HasSuffix(reason, ":") {
		next, _, _ := strings.Cut(more, "\n")
		reason += " " + next
	}
	return reason
}

// publish makes the committed outputs visible. It repeats what a moment's trouble prevented,
// until the term ends; then the next leader repeats it.
func (o *owner) publish(ctx context.Context, p execution.Publish, publish func([]job.Output) error) {
	var lasting error
	err := o.persist(ctx, "make outputs visible", func() error {
		list, err := o.listed(ctx, p)
		if err == nil {
			err = publish(list)
		}
		if errors.Is(err, output.ErrLost) || errors.Is(err, output.ErrTaken) || errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrHash) {
			lasting = err
			return nil
		}
		return err
	})
	failpoint.LeaderPublished.Reached()
	switch {
	case err != nil: // the term has ended
	case lasting != nil:
		o.post(execution.Published{Error: lasting.Error()})
	default:
		o.post(execution.Published{})
	}
}

// listed reads what is to become visible: the committed list, or what the checkpoint of a stop names.
func (o *owner) listed(ctx context.Context, p execution.Publish) ([]job.Output, error) {
	if p.Stopped == nil {
		return o.cfg.Storage.Outputs(ctx, p.Outputs)
	}
	m, err := o.cfg.Storage.Manifest(ctx, p.Stopped.Manifest)
	if err != nil {
		return nil, err
	}
	return m.Outputs(), nil
}
