package taskmanager

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
)

// lease is what this instance holds where its subtasks are to stand still without a leader's renewal (Config.Lease): then a leader that
// has lost the instance knows when they do. The table has it.
//
// A renewal is a round trip that this side begins: the answer to a heartbeat says when it was sent (beat), and the leader's next one names
// that moment, and for how long from then on the lease lasts (renew). So whatever is delayed on the way makes it shorter, never longer.
// Only who is followed under the highest epoch is heard: a standby says nothing that counts, and what a leader may grant it
// knows itself (internal/jobmanager/lease.go).
type lease struct {
	length time.Duration // that is committed, as the leader says; 0: none is in force; less: no leader has said it yet
	until  time.Duration // by Config.Clock
	told   time.Duration // what task processes were told
	paused bool          // it was said that they stand still
	ends   *time.Timer   // fires when the lease may be over
}

// forever is until when a lease lasts that is not in force.
const forever = time.Duration(math.MaxInt64)

func newLease() lease {
	ends := time.NewTimer(time.Hour)
	ends.Stop()
	return lease{length: -1, told: forever, ends: ends}
}

// lend takes a leader's word for how long leases are. A leader that knows none renews none, and waits for none: with it, tasks run on.
func (t *table) lend(length time.Duration) {
	if t.cfg.Lease == 0 || length == t.lease.length {
		return
	}
	t.lease.length = length
	if length == 0 {
		t.log.Error("the leader has committed no lease for this TaskManager, as a release before leases does: tasks run on without a leader, as with taskmanager.isolated: run. " +
			"Upgrade the JobManagers, then restart this TaskManager")
		t.lease.paused = false
		t.tellLease(forever)
		return
	}
	t.tellLease(t.lease.until)
	if t.lease.until > 0 {
		t.awaitEnd()
	}
}

// beat answers a heartbeat of the leader, with the load if that was measured since the last answer over this link. When it is
// sent counts from before it is queued.
func (t *table) beat(l *link, m rpc.Heartbeat) {
	if m.Renews != nil && l == t.leader {
		t.renew(*m.Renews)
	}
	answer := rpc.Heartbeat{Seq: m.Seq}
	if load := t.load.Load(); load != l.load {
		l.load, answer.Load = load, load
	}
	if t.cfg.Lease > 0 {
		now := t.cfg.Clock()
		answer.Asks = &rpc.Ask{Sent: now}
		if t.lease.length > 0 {
			answer.Asks.Left = max(t.lease.until-now, 0)
			answer.Asks.Paused = answer.Asks.Left == 0
		}
	}
	t.post(l, answer)
}

// renew has the lease last from when this side asked. What says otherwise than can be is not believed.
func (t *table) renew(r rpc.Renewal) {
	if t.lease.length <= 0 {
		return
	}
	now, until := t.cfg.Clock(), r.Sent+r.For
	if r.Sent > now || r.For > t.lease.length || until <= now || until <= t.lease.until {
		return
	}
	t.lease.until = until
	if t.lease.paused {
		t.lease.paused = false
		t.log.Info("the lease is renewed: tasks go on where they stood", "tasks", t.running)
	}
	// Task processes hear of every twentieth of a lease that is won, or else of each heartbeat.
	if until-t.lease.told >= t.lease.length/20 || t.lease.told <= now {
		t.tellLease(until)
	}
	t.awaitEnd()
}

// tellLease hands the lease on to all task processes.
func (t *table) tellLease(until time.Duration) {
	t.lease.told = until
	for _, e := range t.parts {
		if e.current != nil && e.current.process != nil {
			e.current.process.lease.set(until)
		}
	}
}

// awaitEnd has lapse called when the lease may be over.
func (t *table) awaitEnd() { t.lease.ends.Reset(max(t.lease.until-t.cfg.Clock(), 0)) }

// lapse says so if the lease is over. The task processes see for themselves.
func (t *table) lapse() {
	switch {
	case t.lease.length <= 0 || t.lease.paused:
	case t.cfg.Clock() < t.lease.until:
		t.awaitEnd()
	default:
		t.lease.paused = true
		t.log.Warn("the lease is over: tasks stand still, and keep their state, until a leader renews it", "lease", t.lease.length, "tasks", t.running)
	}
}

// handOn returns the lease for a new task process; nil: it has none.
func (t *table) handOn() *handedOn {
	if t.cfg.Lease == 0 {
		return nil
	}
	h := &handedOn{changed: make(chan struct{}, 1)}
	h.until.Store(int64(t.lease.told))
	return h
}

// handedOn is the lease on its way to a task process, and only the newest: what is older must not take the place of other messages.
// The table sets it, and the process's goroutine sends it.
type handedOn struct {
	until   atomic.Int64
	changed chan struct{}
}

func (h *handedOn) set(until time.Duration) {
	if h == nil {
		return
	}
	h.until.Store(int64(until))
	select {
	case h.changed <- struct{}{}:
	default: // the newest is sent
	}
}

// news receives when there is something to send.
func (h *handedOn) news() <-chan struct{} {
	if h == nil {
		return nil
	}
	return h.changed
}

func (h *handedOn) now() *rpc.Lease {
	if h == nil {
		return nil
	}
	return &rpc.Lease{Until: time.Duration(h.until.Load())}
}
