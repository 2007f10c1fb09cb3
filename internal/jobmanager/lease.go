package jobmanager

import (
	"cmp"
	"context"
	"time"

	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// The leases of TaskManagers, as docs/failover-protocol.md has them ("Leases, exactly"); internal/model/leases.go explores them.
//
// The one promise: once lease and a fifth have passed since a leader learned that a death is committed, no subtask of that instance runs.
// It holds whoever granted what, since a leader grants no more than what is left of a lease that counts from when it was last sure of its
// epoch. From the declaration on, its author renews nothing, and so does every leader after it; one before it was last sure of its epoch
// before its successor's claim, and so before the declaration. A TaskManager counts each grant from when it asked, which
// was earlier still. The fifth is for clocks that do not run alike, and for the batch that is in hand.

// sure is when the quorum last confirmed this leader's epoch, by Config.Clock: it was in force at some moment after it.
type sure struct {
	since  time.Duration
	once   bool // it was at all
	asking bool
}

// confirm asks the quorum, well before what remains of the shortest lease is short. Where nobody holds one it does not.
func (r *registry) confirm(ctx context.Context) {
	shortest := time.Duration(0)
	for _, m := range r.managers {
		if m.led && m.record.Lease > 0 {
			shortest = min(cmp.Or(shortest, m.record.Lease), m.record.Lease)
		}
	}
	began := r.cfg.Clock()
	if shortest == 0 || r.sure.asking || r.sure.once && began-r.sure.since < shortest/10 {
		return
	}
	r.sure.asking = true
	r.wg.Go(func() { r.post(confirmed{began, r.checks.Current(ctx)}) })
}

// confirmed: the quorum was asked whether the epoch is in force.
type confirmed struct {
	began time.Duration
	err   error // it may not have answered
}

func (h confirmed) apply(r *registry) {
	r.sure.asking = false
	if h.err == nil {
		r.sure.since, r.sure.once = h.began, true
	}
}

// renewal is what the next heartbeat grants a TaskManager; nil: nothing. One that is declared dead, or is about to be, is granted nothing.
func (r *registry) renewal(m *taskManager) *rpc.Renewal {
	asks := m.session.asks.Load()
	if asks == nil || m.record.Lease == 0 || m.doom != "" || !r.sure.once {
		return nil
	}
	remains := r.sure.since + m.record.Lease - r.cfg.Clock()
	if remains <= 0 {
		return nil
	}
	return &rpc.Renewal{Sent: asks.Sent, For: remains}
}

// fate is what is known of the task processes of a TaskManager that is declared dead.
type fate int

const (
	unheard     fate = iota // nothing: they may run for as long as their lease lasts
	provedEnded             // they have ended: a new instance has the work directory, and has seen to it
	leftInOrder             // the same, as it was told to end, and says so
)

// predecessor is the fate of an instance whose work directory another one has.
func predecessor(p rpc.Predecessor) fate {
	if p.Left {
		return leftInOrder
	}
	return provedEnded
}

// learn takes note of what became known of an instance since it was declared dead.
func (r *registry) learn(m *taskManager, how fate) {
	m.fate = max(m.fate, how)
	if m.over != 0 && m.fate > unheard {
		r.release(m, "it is known that nothing of it runs")
	}
}

// awaitLease begins the wait for the lease of a TaskManager that is dead, as committed: this leader has just heard, or read, that it is.
func (r *registry) awaitLease(m *taskManager) {
	known := m.record.Planned || m.record.Proved || m.fate > unheard
	if m.record.State != dead || m.record.Lease == 0 || known {
		return
	}
	wait := m.record.Lease + m.record.Lease/5
	m.over = r.cfg.Clock() + wait
	m.overAt = time.Now().Add(wait).UTC()
	if len(r.holders(m.instance)) > 0 {
		r.log.Warn("what ran on a TaskManager is started elsewhere when its lease is over", "taskmanager", m.instance, "host", m.record.Host, "wait", wait)
	}
}

// elapse ends the wait for a lease that is over.
func (r *registry) elapse(m *taskManager) {
	if m.over != 0 && r.cfg.Clock() >= m.over {
		r.release(m, "its lease is over")
	}
}

// release tells the jobs that no attempt runs on a dead TaskManager any more.
func (r *registry) release(m *taskManager, why string) {
	m.over = 0
	for id := range r.holders(m.instance) {
		r.log.Info("a job need not wait for a TaskManager any longer", "job", id, "taskmanager", m.instance, "reason", why)
		r.tell(id, execution.Over{Instance: m.instance})
	}
}

// death is what jobs are told of a TaskManager that is dead.
func (r *registry) death(m *taskManager) execution.Dead {
	d := execution.Dead{Instance: m.instance, Reason: cmp.Or(m.record.Reason, "it was declared dead"), Planned: m.record.Planned}
	if m.over != 0 {
		d.Until = m.overAt
	}
	return d
}
