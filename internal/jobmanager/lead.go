package jobmanager

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/rpc"
)

// leader is what lives for one term.
type leader struct {
	*JobManager
	ctx    context.Context
	log    *slog.Logger // names the epoch
	end    context.CancelCauseFunc
	term   *pausable
	header rpc.Header // of every message of this term
	since  time.Time

	settled  chan struct{}          // closed when no job's adoption is waited for any more
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
	took := moments{vacancy: jm.vacancies.before(term.Epoch()), claimed: time.Now()} // in this order
	if took.alive && took.cause != api.CauseStepDown {
		jm.detector.replacing(took.previous, term.Epoch())
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	l := &leader{
		JobManager: jm, ctx: ctx, log: jm.log.With("epoch", term.Epoch()), end: end, term: newPausable(term), since: time.Now(),
		header: rpc.Header{Epoch: term.Epoch()}, settled: make(chan struct{}),
	}
	l.checks = newChecks(l)
	l.jobs, l.garbage = newJobs(l), newGarbage(l)
	if err := l.load(); err != nil {
		l.close(nil)
		return err
	}
	jm.incarnation.Store(&l.header.Cluster)
	jm.leading.Store(l)
	defer jm.standBy()
	failpoint.LeaderRead.Reached()
	took.read = time.Now()
	var wg, informer sync.WaitGroup
	informing, silence := context.WithCancel(context.WithoutCancel(ctx))
	defer informer.Wait()
	defer silence()
	informer.Go(func() { l.inform(informing) })
	wg.Go(func() { l.registry.run(ctx) })
	wg.Go(func() { l.checks.run(ctx) })
	l.jobs.begin()

	l.serve(&took)
	failpoint.LeaderServes.Reached()
	wg.Go(func() { l.adopt(ctx, took) })
	wg.Go(func() { l.keepHouse(ctx) })
	wg.Go(func() { l.jobs.awaitWithheld(ctx, withheldPause) })
	<-ctx.Done()
	jm.serving.Store(nil)
	m := l.moving.Swap(l.tooLate())
	if m == nil {
		silence() // else nobody is to take over before the last export is made
	}
	l.close(m)
	wg.Wait()
	if m != nil {
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

// close waits for the owners of jobs, and has the standbys ask anew who leads, unless the cluster moves.
func (l *leader) close(m *moving) {
	l.leading.Store(nil)
	cause := l.over() // nil: it never began to lead
	l.end(nil)
	if m == nil {
		l.closeStandbys(cause)
	}
	l.jobs.close()
	l.wg.Wait()
}

// closeStandbys tells them first, if this process ends its term by itself.
func (l *leader) closeStandbys(cause error) {
	why, itself := endedItself(cause)
	if itself {
		l.vacancies.released(l.term.Epoch(), why) // nobody may be there to take over, and this process leads again
	}
	for _, s := range l.connections.listStandbys() {
		if itself && s.silent() < l.cfg.heartbeatTimeout() { // what is sent to a host that is lost may wait for seconds
			_ = s.conn.Send(l.header, why) // one that does not hear it sees a session that ended
		}
		s.close()
	}
}

// endedItself says why a term ends, if its leader ends it itself.
func endedItself(cause error) (why rpc.Released, itself bool) {
	switch {
	case cause == nil, errors.Is(cause, coordination.ErrStaleEpoch), errors.Is(cause, coordination.ErrSessionEnded):
		return why, false
	case errors.Is(cause, context.Canceled): // of the whole process
		return rpc.Released{Reason: errToldToEnd.Error()}, true
	}
	toldTo := errors.Is(cause, errSteppedDown) || errors.Is(cause, errGiven)
	return rpc.Released{Reason: cause.Error(), Failed: !toldTo}, true
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

// load reads what is committed, after the claim (R7, I10): all at once, as with ZooKeeper each takes several round
// trips, and nothing is done by it before all is known, the incarnation of the cluster first (R16).
func (l *leader) load() error {
	var records []storedTaskManager
	var incarnation, reads errgroup.Group
	incarnation.Go(func() (err error) {
		l.header.Cluster, err = ensureIncarnation(l.ctx, l.term, l.cfg.Storage)
		return err
	})
	reads.Go(func() (err error) {
		records, err = readTaskManagers(l.ctx, l.term)
		return err
	})
	reads.Go(l.jobs.load)
	reads.Go(l.jobs.readForgotten)
	reads.Go(l.garbage.load)
	known, read := incarnation.Wait(), reads.Wait()
	if known != nil {
		return known
	}
	if err := cmp.Or(l.checkHistory(), read); err != nil { // in this order: after what cannot be read the next claim is of a higher epoch
		return err
	}
	l.registry = newRegistry(l, records)
	for _, o := range l.jobs.all() {
		if in := o.intent; in.Holds() {
			slotsHeld{in.Spec.ID, in.Assignment}.apply(l.registry)
			o.tellFates(l.registry.managers)
		}
	}
	return nil
}

// adopt waits until every running job has heard from its TaskManagers, and for a heartbeat timeout at most, and tells how
// the change of leader went. Clients wait as long for the jobs that they ask of, and for no other.
func (l *leader) adopt(ctx context.Context, took moments) {
	l.awaitAdoption()
	failpoint.LeaderAdopted.Reached()
	took.asked, took.adopted = l.registry.askedAt(ctx), time.Now()
	if ctx.Err() != nil {
		return // nobody is told of a term that has ended
	}
	t := l.tookOver(took)
	close(l.settled)
	l.note(ctx, *t)
}

// note keeps for later that and how this leader took over. Neither storage nor coordination waits for the other.
func (l *leader) note(ctx context.Context, t api.Takeover) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.noteServed(ctx) })
	l.remember(ctx, t)
}

// awaitAdoption waits for no job longer than that.
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
		h.consider(ctx)
		l.tellPlans(standbys)
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
