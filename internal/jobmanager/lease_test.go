package jobmanager

import (
	"context"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// fakeClock is the clock of leases. It stands still until a test advances it.
type fakeClock struct{ at atomic.Int64 }

func (c *fakeClock) now() time.Duration      { return time.Duration(c.at.Load()) }
func (c *fakeClock) advance(d time.Duration) { c.at.Add(int64(d)) }

const aLease = 10 * time.Second

// leased is a TaskManager whose tasks depend on a lease.
func (w *world) leased(instance string, slots int) *fakeTaskManager {
	f := w.taskManager(instance, slots)
	f.lease = aLease
	return f
}

// holds is until when it holds a lease, and how many heartbeats it has had.
func (f *fakeTaskManager) holds() (until time.Duration, beats int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.granted, f.beats
}

// hearsMore waits for some heartbeats more.
func (f *fakeTaskManager) hearsMore() {
	f.w.t.Helper()
	_, before := f.holds()
	f.w.eventually("more heartbeats", func() bool { _, now := f.holds(); return now > before+3 })
}

// waits asks whether the lease of an instance is waited for, once the registry has looked at it twice.
func (n *node) waits(t *testing.T, instance string) bool {
	t.Helper()
	r := n.leading.Load().registry
	look := func() (sequence uint64, waits bool) {
		done := make(chan struct{})
		r.post(happeningFunc(func(r *registry) {
			sequence, waits = r.sequence, r.managers[instance].over != 0
			close(done)
		}))
		<-done
		return sequence, waits
	}
	before, _ := look()
	n.w.eventually("the registry looks", func() bool { now, _ := look(); return now > before+1 })
	_, waits := look()
	return waits
}

// lossOfOne is a job on two TaskManagers, one of which was killed. The other has promised.
func lossOfOne(t *testing.T) (w *world, a *node, id job.ID, spare *fakeTaskManager) {
	t.Helper()
	w = newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = 40 * time.Second }
	a = w.start("jm-a")
	tm1, tm2 := w.leased("tm-1", 1).start(), w.leased("tm-2", 1).start()
	w.leader()
	id = w.submit(a)
	w.eventually("deployed", func() bool {
		return tm1.did("deploys attempt 1 slots [0]") == 1 && tm2.did("deploys attempt 1 slots [1]") == 1
	})
	spare = w.leased("tm-3", 1).start()
	tm2.kill()
	w.eventually("the other promises", func() bool { return tm1.did("stops attempt 1") == 1 })
	return w, a, id, spare
}

func (w *world) restarts(id job.ID) {
	w.t.Helper()
	w.eventually("starts over", func() bool { j := w.job(id); return j.State == job.Running && j.Attempt == 2 })
}

// Nothing is started elsewhere before a lease and a fifth have passed since the commit of a death, and the job says for what it
// waits (WaitForTheLease).
func TestRedeployWaitsForTheLease(t *testing.T) {
	w, a, id, _ := lossOfOne(t)
	w.clock.advance(12*time.Second - 1)
	if !a.waits(t, "tm-2") {
		t.Fatal("the lease is not waited for")
	}
	j := w.job(id)
	if j.State != job.Restarting || j.LeaseWait == nil || j.LeaseWait.TaskManager != "tm-2" || time.Until(j.LeaseWait.Until) > 12*time.Second {
		t.Errorf("the job is %s, and waits for %+v", j.State, j.LeaseWait)
	}
	w.clock.advance(1)
	w.restarts(id)
	if j := w.job(id); j.LeaseWait != nil {
		t.Errorf("it runs, and waits for %+v", j.LeaseWait)
	}
}

// A leader that finds a death waits from its own read: what was waited before it is nothing (FoundDeclarationWaitsAnew).
func TestFoundDeathWaitsAnew(t *testing.T) {
	w, a, id, _ := lossOfOne(t)
	w.clock.advance(11 * time.Second)
	a.kill()
	b := w.start("jm-b")
	w.leader(a)
	w.clock.advance(12*time.Second - 1)
	if !b.waits(t, "tm-2") {
		t.Fatal("the successor does not wait, or not anew")
	}
	if j := w.job(id); j.State != job.Restarting || j.LeaseWait == nil {
		t.Errorf("the job is %s, and waits for %+v", j.State, j.LeaseWait)
	}
	w.clock.advance(1)
	w.restarts(id)
}

// Proof ends the wait, and is committed if it came first; what is no proof does not (ProofEndsProcesses).
func TestProofNeedsNoLease(t *testing.T) {
	for _, c := range []struct {
		name   string
		heir   func(lost, heir *fakeTaskManager)
		waited bool
	}{
		{"the lock of the work directory", func(_, heir *fakeTaskManager) {
			heir.replaces = []rpc.Predecessor{{Instance: "tm-2"}}
		}, false},
		{"a work directory of another host", func(_, heir *fakeTaskManager) {
			heir.host, heir.replaces = "there", []rpc.Predecessor{{Instance: "tm-2"}}
		}, true},
		{"its data address", func(lost, heir *fakeTaskManager) {
			heir.data.Close()
			heir.data, _ = net.Listen("tcp", lost.data.Addr().String())
		}, true},
	} {
		t.Run(c.name+", later", func(t *testing.T) {
			w, a, id, _ := lossOfOne(t)
			heir := w.leased("tm-4", 1)
			lost := &fakeTaskManager{data: heir.data} // its address does not matter any more
			c.heir(lost, heir)
			heir.start()
			w.eventually("the heir is there", func() bool { return heir.did("follows epoch 1") == 1 })
			if got := a.waits(t, "tm-2"); got != c.waited {
				t.Fatalf("waited for: %t", got)
			}
			if !c.waited {
				w.restarts(id)
			}
		})
		t.Run(c.name+", first", func(t *testing.T) {
			w := newWorld(t)
			w.tune = func(c *Config) { c.TaskManagerTimeout = 40 * time.Second }
			a := w.start("jm-a")
			lost := w.leased("tm-2", 2).start()
			w.leader()
			id := w.submit(a)
			w.eventually("deployed", func() bool { return lost.did("deploys attempt 1 slots [0 1]") == 1 })
			a.kill()
			lost.kill()
			heir := w.leased("tm-4", 2)
			c.heir(lost, heir)
			heir.start()
			b := w.start("jm-b")
			w.leader(a)
			w.eventually("the heir is there", func() bool { return heir.did("follows epoch 2") == 1 })
			if heir.host == "" { // else its heir is no reason to declare anybody dead
				w.eventually("declared dead", func() bool { return b.leading.Load().registry.deaths(t) == 1 })
				if got := b.waits(t, "tm-2"); got != c.waited {
					t.Fatalf("waited for: %t", got)
				}
			}
			if c.waited {
				return
			}
			w.restarts(id)
			heir.kill() // nobody is left who could say it
			b.kill()
			third := w.start("jm-c")
			w.leader(a, b)
			if third.waits(t, "tm-2") {
				t.Error("the next leader waits for what was proved: that is not committed")
			}
		})
	}
}

// A TaskManager that says itself that it has ended is not waited for.
func TestFarewellNeedsNoLease(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.leased("tm-1", 2).start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	w.leased("tm-2", 2).start()
	tm.farewell()
	w.restarts(id)
}

// A leader renews with what remains of its own last confirmed epoch: one that is cut off from coordination, whose heartbeats go on, soon
// renews nobody, and does again when it is back (RenewWithWhatRemains).
func TestRenewsWithWhatRemains(t *testing.T) {
	w := newWorld(t)
	w.clock.advance(time.Hour) // a host that has been up for a while
	a := w.start("jm-a")
	tm := w.leased("tm-1", 2).start()
	w.leader()
	began := w.clock.now()
	w.eventually("it is renewed", func() bool { until, _ := tm.holds(); return until == began+aLease })

	a.cut()
	for range 11 {
		w.clock.advance(time.Second)
		tm.hearsMore()
		if until, _ := tm.holds(); until > began+aLease {
			t.Fatalf("%v after it was last sure of its epoch the leader has granted %v from then on", w.clock.now()-began, until-began)
		}
	}
	if rows := a.Figures().Led.TaskManagers; len(rows) != 1 || rows[0].Lease == nil || rows[0].Lease.Seconds != 10 {
		t.Errorf("the TaskManager is shown as %+v", rows)
	}
	a.heal()
	w.eventually("it is renewed again", func() bool { until, _ := tm.holds(); return until >= began+aLease+11*time.Second })
}

// Its successor renews, also before the lease is over: a leader change costs no task anything.
func TestSuccessorRenews(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.leased("tm-1", 2).start()
	w.leader()
	w.eventually("it is renewed", func() bool { until, _ := tm.holds(); return until == aLease })
	a.kill()
	w.clock.advance(5 * time.Second)
	w.start("jm-b")
	w.eventually("it is renewed by the next leader", func() bool { until, _ := tm.holds(); return until == 5*time.Second+aLease })
}

// A leader is sure of its epoch from before it asked, and by an answer alone.
func TestOnlyAnAnswerConfirms(t *testing.T) {
	r := &registry{sure: sure{asking: true}}
	confirmed{time.Second, context.DeadlineExceeded}.apply(r)
	if r.sure != (sure{}) {
		t.Errorf("no answer came, and it is %+v", r.sure)
	}
	confirmed{2 * time.Second, nil}.apply(r)
	confirmed{3 * time.Second, context.DeadlineExceeded}.apply(r)
	if want := (sure{since: 2 * time.Second, once: true}); r.sure != want {
		t.Errorf("it is %+v, want %+v", r.sure, want)
	}
}

// From the moment on that a death is to be committed, its TaskManager is renewed no more, although the leader is sure of its
// epoch and the TaskManager is heard again (DeadStaysDead). Others are.
func TestDoomedIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm, other := w.leased("tm-1", 2).start(), w.leased("tm-2", 2).start()
	w.leader()
	w.eventually("they are renewed", func() bool {
		until, _ := tm.holds()
		others, _ := other.holds()
		return until > 0 && others > 0
	})
	done := make(chan struct{})
	a.leading.Load().registry.post(happeningFunc(func(r *registry) {
		r.managers["tm-1"].doom = "its death is being committed"
		r.managers["tm-1"].busy = true
		r.sure.since += time.Second // it was confirmed meanwhile
		close(done)
	}))
	<-done
	tm.hearsMore() // what was said before
	until, _ := tm.holds()
	w.clock.advance(5 * time.Second)
	w.eventually("the other is renewed", func() bool { now, _ := other.holds(); return now == 5*time.Second+aLease })
	tm.hearsMore()
	if now, _ := tm.holds(); now != until {
		t.Errorf("it is renewed until %v, and was until %v", now, until)
	}
}

// One that was declared dead, as another leader has committed, is neither adopted nor renewed.
func TestFoundDeadIsNotRenewed(t *testing.T) {
	w, a, _, _ := lossOfOne(t)
	a.kill()
	w.start("jm-b")
	w.leader(a)
	back := w.leased("tm-2", 1).start()
	w.eventually("refused as dead", func() bool { return strings.Contains(strings.Join(back.history(), "\n"), "refused dead=true") })
	if until, beats := back.holds(); until != 0 || beats != 0 {
		t.Errorf("it had %d heartbeats, and holds a lease until %v", beats, until)
	}
}

// Nobody asks the quorum where nobody holds a lease.
func TestNoLeaseNoQuestions(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 1).start()
	w.leader()
	w.eventually("registered", func() bool { return tm.did("follows epoch 1") == 1 })
	tm.hearsMore()
	asked := make(chan bool, 1)
	a.leading.Load().registry.post(happeningFunc(func(r *registry) { asked <- r.sure.once || r.sure.asking }))
	if <-asked {
		t.Error("the quorum was asked")
	}
}

// A lease that is too short for the heartbeats is refused, with what to do.
func TestShortLeaseIsRefused(t *testing.T) {
	w := newWorld(t)
	w.start("jm-a")
	tm := w.taskManager("tm-1", 1)
	tm.lease = 1999 * time.Millisecond
	tm.start()
	w.leader()
	const want = "its taskmanager.lease, 1.999s, is too short for the heartbeats here: set it to at least 2s, or taskmanager.isolated to run"
	w.eventually("refused", func() bool { return tm.did("refused dead=false: "+want) > 0 })
}

// So is one that is so long that the wait for it, a fifth more, would be a negative number: nothing would be waited for.
func TestLongLeaseIsRefused(t *testing.T) {
	w := newWorld(t)
	w.start("jm-a")
	tm := w.taskManager("tm-1", 1)
	tm.lease = math.MaxInt64
	tm.start()
	w.leader()
	w.eventually("refused", func() bool {
		return tm.did("refused dead=false: its taskmanager.lease, 2562047h47m16.854775807s, is too long: set it to at most 24h0m0s") > 0
	})
}

func TestLeastLease(t *testing.T) {
	const ms = time.Millisecond
	for h, want := range map[Heartbeats]time.Duration{
		{100 * ms, 300 * ms, 4000 * ms}: 1000 * ms,
		{200 * ms, 500 * ms, 5000 * ms}: 2000 * ms,
		{100 * ms, 900 * ms, 5000 * ms}: 2700 * ms,
		{100 * ms, 300 * ms, 7000 * ms}: 1400 * ms,
	} {
		if got := h.leastLease(); got != want {
			t.Errorf("with %+v: %v, want %v", h, got, want)
		}
	}
}
