package jobmanager

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/stored"
)

// Retention is for how long jobs that have ended are remembered. Zero values mean: for ever, and any number.
type Retention struct {
	Time   time.Duration // since a job has ended
	Number int           // of those that ended last
}

func (r Retention) validate() error {
	if r.Time < 0 || r.Number < 0 {
		return fmt.Errorf("jobs.retention %v, jobs.retained %d: neither may be negative", r.Time, r.Number)
	}
	return nil
}

// youngest is how old a job is, at least, that is forgotten for being one too many: clients have heard by then what became
// of it, and one that made an id has submitted its job.
const youngest = time.Hour

// houseInterval is between two looks for what can be forgotten, at most.
const houseInterval = time.Minute

// forgetBatch is how many jobs or dead TaskManagers are forgotten with one commit.
const forgetBatch = 64

// forgottenKey holds the highest id of a job that was forgotten: it, and what is below it and not there, was answered
// long ago, and is not accepted any more (R9).
const forgottenKey = "forgotten"

// past is a job that has come to its end.
type past struct {
	id job.ID
	at time.Time
}

// expired chooses what is forgotten. A job counts as young as its id: that of a client whose clock is ahead would refuse
// everybody else's.
func (r Retention) expired(jobs []past, now time.Time) []job.ID {
	slices.SortFunc(jobs, func(a, b past) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.id, a.id)) })
	var list []job.ID
	for i, j := range jobs {
		age := min(now.Sub(j.at), now.Sub(made(j.id)))
		if r.Time > 0 && age > r.Time || r.Number > 0 && i >= r.Number && age > youngest {
			list = append(list, j.id)
		}
	}
	return list
}

// made is when an id was, by the clock of its maker.
func made(id job.ID) time.Time {
	b, err := hex.DecodeString(string(id))
	if err != nil || len(b) < 6 {
		return time.Time{} // of no client of ours
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...))))
}

// readForgotten reads what was forgotten, after the claim (R7).
func (j *jobs) readForgotten() error {
	e, err := j.term.Get(j.ctx, forgottenKey)
	if errors.Is(err, coordination.ErrNotFound) {
		j.forgottenVersion = coordination.NoVersion
		return nil
	}
	if err != nil {
		return fmt.Errorf("read which jobs were forgotten: %w", err)
	}
	id, err := job.ParseID(string(e.Value))
	if err != nil {
		return fmt.Errorf("read %s: %w", forgottenKey, cmp.Or(stored.Check(e.Value), err))
	}
	j.forgotten, j.forgottenVersion = id, e.Version
	return nil
}

// isForgotten reports whether a job of this id, if it is not there, is not accepted any more.
func (j *jobs) isForgotten(id job.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return id <= j.forgotten
}

func forgotten(id job.ID) *api.Error {
	return &api.Error{Code: api.Conflict, Message: fmt.Sprintf(
		"job id %s is older than what is remembered (jobs.retention): it was answered long ago, or this machine's clock is behind", id)}
}

// keepHouse forgets jobs, and removes what no job needs, from time to time, until ctx ends.
func (l *leader) keepHouse(ctx context.Context) {
	interval := houseInterval
	if r := l.cfg.Retention; r.Time > 0 {
		interval = min(interval, max(r.Time/10, l.cfg.HeartbeatInterval))
	}
	forgets, collects := time.NewTicker(interval), time.NewTicker(garbageInterval)
	defer forgets.Stop()
	defer collects.Stop()
	for {
		var err error
		select {
		case <-forgets.C:
			err = l.forgetJobs(ctx)
		case <-collects.C:
			err = l.garbage.collect(ctx)
		case <-ctx.Done():
			return
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

// forgetJobs forgets those that are expired, and with them what only they refer to: the watermark is committed in the same
// write, so nobody refers to it ever again (R13).
func (l *leader) forgetJobs(ctx context.Context) error {
	var list []past
	for _, o := range l.jobs.all() {
		if v := o.view.Load(); o.committed() && v.State.Terminal() && v.Finished != nil {
			list = append(list, past{o.id, *v.Finished})
		}
	}
	for batch := range slices.Chunk(l.cfg.Retention.expired(list, time.Now()), forgetBatch) {
		owners, err := l.jobs.forget(ctx, batch)
		if err != nil {
			return fmt.Errorf("forget jobs that have ended: %w", err)
		}
		l.log.Info("forgot jobs that ended long ago", "jobs", len(owners))
		for _, o := range owners {
			o.clear(ctx)
		}
	}
	return nil
}

// forget commits that these jobs are not there any more. From before that none of their ids is accepted.
func (j *jobs) forget(ctx context.Context, ids []job.ID) ([]*owner, error) {
	var owners []*owner
	var ops []coordination.Op
	j.mu.Lock()
	for _, id := range ids {
		o := j.owners[id]
		owners, ops = append(owners, o), append(ops, coordination.Delete(intentKey(id), o.written.Load().version))
		j.forgotten = max(j.forgotten, id)
	}
	mark := put(forgottenKey, []byte(j.forgotten), j.forgottenVersion)
	j.mu.Unlock()
	versions, err := j.term.Commit(ctx, append([]coordination.Op{mark}, ops...)...)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forgottenVersion = versions[0]
	for _, o := range owners {
		delete(j.owners, o.id)
		close(o.forgotten)
	}
	return owners, nil
}

// clear removes what a job that was forgotten has left in storage. Checkpoints of one that failed are a person's to remove.
func (o *owner) clear(ctx context.Context) {
	last := o.written.Load()
	in := last.intent
	var err error
	if last.blob != "" {
		o.removeIntent(ctx, last.blob)
	}
	if in.Outputs != "" {
		err = o.cfg.Storage.DeleteOutputs(ctx, in.Outputs)
	}
	if in.Phase != execution.Failed && in.Reserved > 0 {
		o.collectGarbage(in)
	}
	if in.Phase == execution.Failed && len(in.Completed) > 0 {
		o.log.Info("checkpoints of a failed job that was forgotten stay in storage", "job", o.id, "newest", in.Completed[0].Manifest)
	}
	if err != nil {
		o.log.Warn("a file of a job that was forgotten stays in storage", "job", o.id, "error", err)
	}
}
