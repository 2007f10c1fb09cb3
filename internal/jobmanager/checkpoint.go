package jobmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/storage"
)

// Checkpoints is when and how jobs are checkpointed.
type Checkpoints struct {
	Interval time.Duration // between the reservations of two; 10s
	MinPause time.Duration // between the end of one and the reservation of the next; none
	Timeout  time.Duration // after which an incomplete one is aborted; 10m
	Retained int           // completed ones that are kept; 3
	// RestartAfter is how many may be aborted in a row before the job is restarted; 0: any number.
	RestartAfter int
}

func (c Checkpoints) withDefaults() (Checkpoints, error) {
	c.Interval = cmp.Or(c.Interval, 10*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Minute)
	c.Retained = cmp.Or(c.Retained, 3)
	if c.Interval < 0 || c.Timeout < 0 || c.MinPause < 0 || c.Retained < 0 || c.RestartAfter < 0 {
		return c, fmt.Errorf("checkpoints: interval %v, timeout %v, min-pause %v, retained %d, restart after %d: none may be negative",
			c.Interval, c.Timeout, c.MinPause, c.Retained, c.RestartAfter)
	}
	return c, nil
}

func (c Checkpoints) schedule() checkpoint.Schedule {
	return checkpoint.Schedule{Interval: c.Interval, MinPause: c.MinPause, Timeout: c.Timeout}
}

// clock tells an owner's execution, which knows no time, what is due. The owner's goroutine has it.
type clock struct {
	timer  *time.Timer
	wanted *execution.RequestSlots // waits for its time
	at     time.Time               // when wanted is to be passed on
	first  time.Time               // when the job's first checkpoint is due
	begun  job.CheckpointID        // the id that the execution was told to reserve
	told   job.CheckpointID        // that has been told to have expired
}

// wantSlots notes that slots are to be asked for once a restart has waited.
func (c *clock) wantSlots(r execution.RequestSlots, wait time.Duration) {
	if c.wanted == nil { // else it goes on waiting
		c.at = time.Now().Add(wait)
	}
	c.wanted = &r
}

// next returns what fires when something is due, or nil.
func (c *clock) next(o *owner) <-chan time.Time {
	at, ok := c.due(o)
	if !ok {
		return nil
	}
	wait := max(time.Until(at), 0)
	if c.timer == nil {
		c.timer = time.NewTimer(wait)
	} else {
		c.timer.Reset(wait)
	}
	return c.timer.C
}

// due is when something is due next.
func (c *clock) due(o *owner) (time.Time, bool) {
	in, schedule := o.exec.Intent(), o.cfg.Checkpoints.schedule()
	if c.first.IsZero() && in.Phase == execution.Running {
		c.first = time.Now().Add(schedule.Interval)
	}
	switch {
	case c.wanted != nil:
		return c.at, true
	case in.Phase != execution.Running:
		return time.Time{}, false
	case in.Open == 0 && c.begun > in.Reserved: // it is reserved as soon as all subtasks run
		return time.Time{}, false
	case in.Open == 0 && in.ReservedAt.IsZero():
		return c.first, true
	case in.Open == 0:
		return schedule.Due(time.Now(), in.ReservedAt, in.ClosedAt), true
	case c.told == in.Open:
		return time.Time{}, false
	case schedule.Expired(time.Now(), in.ReservedAt):
		return time.Now(), true
	}
	return in.ReservedAt.Add(schedule.Timeout), true
}

// strike passes on what is due.
func (c *clock) strike(ctx context.Context, o *owner) {
	in := o.exec.Intent()
	switch {
	case c.wanted != nil:
		o.registry.post(slotsWanted{o.id, c.wanted.Slots, c.wanted.Kept, c.wanted.Move})
		c.wanted = nil
	case in.Phase != execution.Running:
	case in.Open == 0:
		c.begun = in.Reserved + 1
		o.handle(ctx, execution.CheckpointDue{})
	case o.cfg.Checkpoints.schedule().Expired(time.Now(), in.ReservedAt):
		c.told = in.Open
		o.handle(ctx, execution.CheckpointExpired{Checkpoint: in.Open})
	}
}

// stamp fills in when a checkpoint was reserved or closed, and the job restarted.
func (o *owner) stamp(c execution.Commit, in *execution.Intent) {
	now, before := time.Now().UTC(), o.exec.Intent()
	switch {
	case in.Reserved > before.Reserved:
		in.ReservedAt = now
	case before.Open != 0 && in.Open == 0:
		in.ClosedAt = now
	}
	if c.Completes != nil {
		in.Completed[0].Completed = now
	}
	stampRequests(in, now)
	if in.TotalRestarts > before.TotalRestarts {
		times := append(slices.Clone(before.RestartedAt), now)
		in.RestartedAt = times[max(len(times)-o.cfg.Restart.Keep(), 0):]
	}
}

// storeManifest stores what a checkpoint consists of, and puts its name into the intent that
// completes it. It is tried once: a storage that fails costs a checkpoint and no more.
func (o *owner) storeManifest(ctx context.Context, c execution.Commit, in *execution.Intent) error {
	failpoint.LeaderStores.Reached()
	p := &in.Completed[0]
	name, err := o.cfg.Storage.PutManifest(ctx, &checkpoint.Manifest{
		Job: o.id, Checkpoint: p.Checkpoint, Epoch: uint64(o.term.Epoch()), Attempt: p.Attempt, GraphHash: in.GraphHash,
		Bounded: o.exec.Bounded(), Triggered: p.Triggered, Completed: p.Completed, Subtasks: c.Completes,
	})
	p.Manifest = name
	return err
}

// publishLeft makes outputs of an unbounded job visible, one by one. A predecessor, or an earlier
// checkpoint, may have done it before, and a reader may have taken a file away since: so an output of which
// there is nothing is not missed.
func (o *owner) publishLeft(outputs []job.Output) error {
	for _, out := range outputs {
		err := output.Publish([]job.Output{out})
		if errors.Is(err, output.ErrLost) {
			o.log.Warn("an output is not there any more: was it taken away?", "job", o.id, "output", out.Final)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publishCheckpoint makes visible what a completed checkpoint of an unbounded job names.
func (o *owner) publishCheckpoint(ctx context.Context, p job.Pointer) {
	unreadable, taken := false, ""
	err := o.persist(ctx, fmt.Sprintf("make visible what checkpoint %d names", p.Checkpoint), func() error {
		m, err := o.cfg.Storage.Manifest(ctx, p.Manifest)
		if errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrNewer) {
			o.log.Error("a completed checkpoint cannot be read", "job", o.id, "checkpoint", p.Checkpoint, "error", err)
			unreadable = true
			return nil
		}
		if err != nil {
			return err
		}
		err = o.publishLeft(m.Outputs())
		if errors.Is(err, output.ErrTaken) {
			taken, err = fmt.Sprintf("checkpoint %d cannot be made visible: %v", p.Checkpoint, err), nil
		}
		return err
	})
	failpoint.LeaderPublished.Reached()
	if err == nil {
		o.post(execution.CheckpointPublished{Checkpoint: p.Checkpoint, Unreadable: unreadable, Error: taken})
	}
}

// collectGarbage deletes the checkpoints that the committed intent shows closed and does not retain: no
// later state refers to them, whoever leads (R13). Those of a failed job are kept for a person; those of
// one that has finished or was cancelled are of no use.
func (o *owner) collectGarbage(in execution.Intent) {
	if in.Phase == execution.Canceled {
		o.discardOutputs(in)
	}
	var kept []job.Pointer
	if in.Phase != execution.Finished && in.Phase != execution.Canceled {
		kept = in.Completed
	}
	o.jobs.spawn(func() {
		select {
		case o.collecting <- struct{}{}:
		case <-o.ctx.Done():
			return
		}
		defer func() { <-o.collecting }()
		dirs, err := o.cfg.Storage.ListCheckpoints(o.ctx, o.id)
		retained, unknown := o.retained(kept, dirs)
		if unknown != nil {
			o.log.Warn("no checkpoint is collected while a kept one cannot be read, as it may refer to any", "job", o.id, "error", unknown)
			return
		}
		for _, d := range checkpoint.Garbage(dirs, retained, in.Open, in.Reserved) {
			if o.ctx.Err() == nil {
				failpoint.LeaderCollects.Reached()
				err = errors.Join(err, o.cfg.Storage.DeleteCheckpoint(o.ctx, o.id, d.Checkpoint, d.Attempt))
				failpoint.LeaderDeleted.Reached()
			}
		}
		if err != nil {
			o.counts.storageFailures.Add(1)
			o.log.Warn("checkpoints that are of no use stay in storage; the next one tries again", "job", o.id, "error", err)
		}
	})
}

// retained are the directories in which the kept checkpoints are, and those of older ones to which they refer:
// a checkpoint names files of its base again. With nothing but their own there, there is nothing to read. Only
// the holder of o.collecting calls it.
func (o *owner) retained(kept []job.Pointer, dirs []checkpoint.Dir) (all []checkpoint.Dir, err error) {
	for _, p := range kept {
		all = append(all, checkpoint.Dir{Checkpoint: p.Checkpoint, Attempt: p.Attempt})
	}
	if !slices.ContainsFunc(dirs, func(d checkpoint.Dir) bool { return !slices.Contains(all, d) }) {
		return all, nil
	}
	known := make(map[string][]checkpoint.Dir, len(kept))
	for _, p := range kept {
		refers, read := o.refers[p.Manifest]
		if !read {
			m, err := o.cfg.Storage.Manifest(o.ctx, p.Manifest)
			if err != nil {
				return nil, err
			}
			if refers, err = storage.Refers(m); err != nil {
				return nil, err
			}
		}
		known[p.Manifest] = refers
		all = append(all, refers...)
	}
	o.refers = known
	return all, nil
}

// discardOutputs removes the hidden files that the newest checkpoint of a cancelled job names: in a bounded
// job they were never to be seen before its end. Of an unbounded one they are visible, and stay.
func (o *owner) discardOutputs(in execution.Intent) {
	if len(in.Completed) == 0 {
		return
	}
	m, err := o.cfg.Storage.Manifest(o.ctx, in.Completed[0].Manifest)
	if err == nil && m.Bounded {
		err = output.Discard(m.Outputs())
	}
	if err != nil {
		o.log.Warn("files of a cancelled job stay behind", "job", o.id, "error", err)
	}
}
