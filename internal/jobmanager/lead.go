package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/rpc"
)

// recordRetention is how long the record of a dead TaskManager is kept.
const recordRetention = 24 * time.Hour

// leader is what lives for one term.
type leader struct {
	*JobManager
	ctx    context.Context
	log    *slog.Logger // names the epoch
	end    context.CancelCauseFunc
	term   coordination.Term
	header rpc.Header // of every message of this term
	since  time.Time

	moving   atomic.Pointer[moving] // nil: the cluster stays where it is
	checks   *checks
	jobs     *jobs
	garbage  *garbage
	registry *registry
	wg       sync.WaitGroup // of owners and what they start
}

// lead is the term: while it runs, this process leads. It returns when ctx ends, or when it
// learns that a newer epoch is in force, and says why. A *WrongClusterError says that this
// process should not lead at all.
func (jm *JobManager) lead(ctx context.Context, term coordination.Term) error {
	failpoint.LeaderClaimed.Reached()
	claimed, why := time.Now(), jm.vacancies.before(term.Epoch())
	if why.alive {
		jm.detector.replacing(why.previous, term.Epoch())
	}
	incarnation, err := ensureIncarnation(ctx, term, jm.cfg.Storage)
	if err != nil {
		return err
	}
	jm.incarnation.Store(&incarnation)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	l := &leader{
		JobManager: jm, ctx: ctx, log: jm.log.With("epoch", term.Epoch()), end: end, term: term, since: time.Now(),
		header: rpc.Header{Cluster: incarnation, Epoch: term.Epoch()},
	}
	jm.leading.Store(l)
	defer jm.standBy()
	l.checks = newChecks(l)
	l.jobs, l.garbage = newJobs(l), newGarbage(l)
	if err := l.load(); err != nil {
		l.close()
		return err
	}
	failpoint.LeaderRead.Reached()
	var wg sync.WaitGroup
	wg.Go(func() { l.registry.run(ctx) })
	wg.Go(func() { l.checks.run(ctx) })
	wg.Go(func() { l.inform(ctx) })
	l.jobs.begin()

	l.awaitAdoption()
	failpoint.LeaderAdopted.Reached()
	if ctx.Err() == nil {
		jm.serve(l, why, claimed)
		failpoint.LeaderServes.Reached()
		wg.Go(func() { l.keepHouse(ctx) })
	}
	<-ctx.Done()
	jm.serving.Store(nil)
	l.close()
	wg.Wait()
	if m := l.moving.Load(); m != nil {
		return l.move(ctx, m)
	}
	return context.Cause(ctx)
}

// standBy notes that the term is over.
func (jm *JobManager) standBy() {
	now := time.Now().UTC()
	jm.standingBy.Store(&now)
	jm.leading.Store(nil)
}

// close waits for the owners of jobs, and has the standbys ask anew who leads.
func (l *leader) close() {
	l.leading.Store(nil)
	l.end(nil)
	if l.moving.Load() == nil {
		l.closeStandbys()
	}
	l.jobs.close()
	l.wg.Wait()
}

func (l *leader) closeStandbys() {
	for _, s := range l.connections.listStandbys() {
		s.close()
	}
}

// fail ends the term: its leader was replaced, or cannot know what was committed.
func (l *leader) fail(err error) {
	if l.ctx.Err() == nil {
		l.log.Warn("the term ends", "error", err)
	}
	l.end(err)
}

// over says why the term has ended.
func (l *leader) over() error { return context.Cause(l.ctx) }

// load reads what is committed, after the claim (R7, I10).
func (l *leader) load() error {
	var records []storedTaskManager
	var reads errgroup.Group // at once: with ZooKeeper each takes several round trips
	reads.Go(func() (err error) {
		records, err = readTaskManagers(l.ctx, l.term)
		return err
	})
	reads.Go(l.jobs.load)
	reads.Go(l.jobs.readForgotten)
	reads.Go(l.garbage.load)
	if err := reads.Wait(); err != nil {
		return err
	}
	l.registry = newRegistry(l, records)
	for _, o := range l.jobs.all() {
		if in := o.intent; in.Holds() {
			slotsHeld{in.Spec.ID, in.Assignment}.apply(l.registry)
			o.tellFates(l.registry.managers)
		}
	}
	l.forgetDead()
	return nil
}

// forgetDead deletes the records of TaskManagers that died long ago. What a running job
// was assigned to is kept.
func (l *leader) forgetDead() {
	var ops []coordination.Op
	for instance, m := range l.registry.managers {
		old := m.record.State == dead && time.Since(m.record.Ended) > recordRetention
		if old && len(l.registry.holders(instance)) == 0 && len(ops) < 64 {
			ops = append(ops, coordination.Delete(taskManagersPrefix+instance, m.version))
			delete(l.registry.managers, instance)
		}
	}
	if len(ops) == 0 {
		return
	}
	l.wg.Go(func() {
		if _, err := l.term.Commit(l.ctx, ops...); err != nil {
			l.fail(fmt.Errorf("forget dead TaskManagers: %w", err))
		}
	})
}

// awaitAdoption waits until every running job has heard from its TaskManagers, and for a
// heartbeat timeout at most: a TaskManager that is away holds up no client.
func (l *leader) awaitAdoption() {
	timer := time.NewTimer(l.cfg.heartbeatTimeout())
	defer timer.Stop()
	for _, o := range l.jobs.all() {
		select {
		case <-o.adopted:
		case <-timer.C:
			return
		case <-l.ctx.Done():
			return
		}
	}
}

// inform sends heartbeats to the standbys, and has what else would die with this process
// handed over to one of those that answer.
func (l *leader) inform(ctx context.Context) {
	ticker := newBeats(l.cfg.heartbeatInterval())
	defer ticker.Stop()
	h := handOver{leader: l}
	defer h.wg.Wait()
	for seq := uint64(1); ; seq++ {
		standbys := l.connections.listStandbys()
		for _, s := range standbys {
			s.post(l.header, rpc.Heartbeat{Seq: seq})
		}
		h.consider(ctx, standbys)
		ticker.keep(l.cfg.heartbeatInterval())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// checks answers whether the epoch is in force, by asking the quorum once for all who wait.
type checks struct {
	*leader
	asked chan chan error
}

func newChecks(l *leader) *checks { return &checks{leader: l, asked: make(chan chan error)} }

// Current returns nil if the epoch was in force at some moment after the call (R15).
func (c *checks) Current(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case c.asked <- answer:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.over()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.over()
	}
}

// run asks for whoever had come when it began to.
func (c *checks) run(ctx context.Context) {
	for {
		var waiting []chan error
		select {
		case w := <-c.asked:
			waiting = append(waiting, w)
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case w := <-c.asked:
				waiting = append(waiting, w)
			default:
				more = false
			}
		}
		err := c.check(ctx)
		for _, w := range waiting {
			w <- err
		}
	}
}

func (c *checks) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := c.term.Check(ctx)
	if errors.Is(err, coordination.ErrStaleEpoch) || errors.Is(err, coordination.ErrSessionEnded) {
		c.fail(err)
	}
	return err
}

// checkTimeout bounds one question to the quorum; whoever still waits asks again.
const checkTimeout = time.Second
