package taskmanager

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// tenant is a table with a lease of 10 s, one attempt, and two JobManagers, of which leader leads epoch 2.
type tenant struct {
	*table
	t               *testing.T
	now             time.Duration
	leader, standby *link
	process         *process
}

func newTenant(t *testing.T) *tenant {
	x := &tenant{t: t, now: time.Hour}
	x.table = newTable(&node{log: slog.New(slog.DiscardHandler), cfg: Config{Lease: 10 * time.Second, Clock: func() time.Duration { return x.now }}}, 0)
	t.Cleanup(x.kill)
	x.leader, x.standby = &link{id: "leader", out: make(chan letter, postBox)}, &link{id: "standby", out: make(chan letter, postBox)}
	x.hear(x.leader, 2, rpc.Lead{Lease: 10 * time.Second})
	id := job.NewID()
	x.process = newProcess(x.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 1}, slog.New(slog.DiscardHandler))
	x.process.lease = x.handOn()
	x.entry(partKey{id, 0}).current = &attempt{job: id, number: 1, process: x.process}
	x.running = 1
	return x
}

func (x *tenant) hear(l *link, epoch coordination.Epoch, m rpc.Message) {
	received{l, rpc.Header{Epoch: epoch}, m}.apply(x.table)
}

// asks has the leader's heartbeat answered, and returns what it is asked for.
func (x *tenant) asks() rpc.Ask {
	x.t.Helper()
	for len(x.leader.out) > 0 {
		<-x.leader.out
	}
	x.hear(x.leader, x.seen, rpc.Heartbeat{Seq: 1})
	beat, is := (<-x.leader.out).m.(rpc.Heartbeat)
	if !is || beat.Asks == nil {
		x.t.Fatalf("the heartbeat was answered with %+v", beat)
	}
	return *beat.Asks
}

// renews is a heartbeat that grants this.
func renews(sent, length time.Duration) rpc.Heartbeat {
	return rpc.Heartbeat{Seq: 2, Renews: &rpc.Renewal{Sent: sent, For: length}}
}

// holds is what the task process is told, from now on.
func (x *tenant) holds() time.Duration { return x.process.lease.now().Until - x.now }

// A lease counts from when the request was sent whose answer renews it, however late that comes (LeaseFromTheRequest); and tasks hold
// none before the first.
func TestLeaseCountsFromTheRequest(t *testing.T) {
	x := newTenant(t)
	if left := x.holds(); left > 0 {
		t.Fatalf("a task holds %v of a lease that nobody has renewed", left)
	}
	sent := x.asks().Sent
	x.now += 4 * time.Second
	x.hear(x.leader, 2, renews(sent, 9*time.Second))
	if left := x.holds(); left != 5*time.Second {
		t.Errorf("asked 4 s ago, and renewed for 9 s: it holds %v", left)
	}
	if a := x.asks(); a.Left != 5*time.Second || a.Paused || a.Sent != x.now {
		t.Errorf("it asks with %+v at %v", a, x.now)
	}
	x.now += 7 * time.Second
	x.hear(x.leader, 2, renews(sent, 10*time.Second)) // an answer that was long under way
	if left := x.holds(); left > 0 {
		t.Errorf("an answer that is older than a lease renewed it: %v", left)
	}
	if a := x.asks(); a.Left != 0 || !a.Paused {
		t.Errorf("the lease is over, and it says %+v", a)
	}
}

// Nobody renews but who is followed under the highest epoch (StandbysDoNotRenew), and nothing but what can be is believed.
func TestOnlyTheLeaderRenews(t *testing.T) {
	for _, c := range []struct {
		name    string
		grant   func(x *tenant, sent time.Duration)
		renewed bool
	}{
		{"the leader", func(x *tenant, sent time.Duration) { x.hear(x.leader, 2, renews(sent, 10*time.Second)) }, true},
		{"a standby, as such", func(x *tenant, sent time.Duration) { x.hear(x.standby, 0, renews(sent, 10*time.Second)) }, false},
		{"a standby that names the epoch", func(x *tenant, sent time.Duration) { x.hear(x.standby, 2, renews(sent, 10*time.Second)) }, false},
		{"a leader before it is followed", func(x *tenant, sent time.Duration) { x.hear(x.standby, 3, renews(sent, 10*time.Second)) }, false},
		{"one that was replaced", func(x *tenant, sent time.Duration) {
			x.hear(x.standby, 3, rpc.Heartbeat{})
			x.hear(x.leader, 2, renews(sent, 10*time.Second))
		}, false},
		{"its successor", func(x *tenant, sent time.Duration) {
			x.hear(x.standby, 3, rpc.Lead{Lease: 10 * time.Second})
			x.hear(x.standby, 3, renews(sent, 10*time.Second))
		}, true},
		{"for longer than a lease", func(x *tenant, sent time.Duration) { x.hear(x.leader, 2, renews(sent, 11*time.Second)) }, false},
		{"from tomorrow on", func(x *tenant, sent time.Duration) { x.hear(x.leader, 2, renews(sent+24*time.Hour, 10*time.Second)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTenant(t)
			c.grant(x, x.asks().Sent)
			if left := x.holds(); left > 0 != c.renewed {
				t.Errorf("it holds %v", left)
			}
		})
	}
}

// A shorter renewal takes nothing away, and task processes hear of the newest one only, when it is worth it.
func TestLeaseIsHandedOn(t *testing.T) {
	x := newTenant(t)
	heard := func() bool {
		select {
		case <-x.process.lease.news():
			return true
		default:
			return false
		}
	}
	for _, c := range []struct {
		after, length, left time.Duration
		heard               bool
	}{
		{0, 10 * time.Second, 10 * time.Second, true},
		{100 * time.Millisecond, 10 * time.Second, 9900 * time.Millisecond, false}, // what is won is too little
		{500 * time.Millisecond, 10 * time.Second, 10 * time.Second, true},
		{time.Second, 3 * time.Second, 9 * time.Second, false},
		{20 * time.Second, time.Second, time.Second, true},
	} {
		x.now += c.after
		x.hear(x.leader, 2, renews(x.asks().Sent, c.length))
		if got := heard(); got != c.heard || x.holds() != c.left {
			t.Errorf("after %v, renewed for %v: told %t, and it holds %v; want %+v", c.after, c.length, got, x.holds(), c)
		}
	}
	if len(x.process.orders) != 0 {
		t.Errorf("renewals take the places of %d other messages", len(x.process.orders))
	}
}

// The end of a lease is noticed once, and so is its renewal.
func TestLapse(t *testing.T) {
	x := newTenant(t)
	x.hear(x.leader, 2, renews(x.asks().Sent, 10*time.Second))
	x.lapse() // the timer may be early
	if x.lease.paused {
		t.Error("it has paused with a lease")
	}
	x.now += 10 * time.Second
	x.lapse()
	if !x.lease.paused {
		t.Error("it has not paused")
	}
	x.hear(x.leader, 2, renews(x.asks().Sent, 10*time.Second))
	if x.lease.paused {
		t.Error("it has not gone on")
	}
}

// A leader of a release that knows no leases renews none, and waits for none: with it tasks run on. Its successor counts as before.
func TestLeaderWithoutLeases(t *testing.T) {
	x := newTenant(t)
	x.hear(x.standby, 3, rpc.Lead{})
	if x.process.lease.now().Until != forever {
		t.Error("tasks stand still under a leader that will never renew them")
	}
	x.hear(x.leader, 4, rpc.Lead{Lease: 10 * time.Second})
	if left := x.holds(); left > 0 {
		t.Errorf("under the next leader they hold %v before it has granted anything", left)
	}
	x.hear(x.leader, 4, renews(x.asks().Sent, 10*time.Second))
	if left := x.holds(); left != 10*time.Second {
		t.Errorf("and then %v", left)
	}
}

// It is said that the first leader knows no leases, too.
func TestFirstLeaderWithoutLeases(t *testing.T) {
	var said bytes.Buffer
	tab := newTable(&node{log: slog.New(slog.NewTextHandler(&said, nil)), cfg: Config{Lease: 10 * time.Second, Clock: func() time.Duration { return 0 }}}, 0)
	defer tab.kill()
	received{&link{id: "leader", out: make(chan letter, postBox)}, rpc.Header{Epoch: 1}, rpc.Lead{}}.apply(tab)
	if !strings.Contains(said.String(), "Upgrade the JobManagers") || tab.handOn().now().Until != forever {
		t.Errorf("it says %s, and hands on %+v", &said, tab.handOn().now())
	}
}

// Without taskmanager.isolated: pause nothing is asked for, and nothing told.
func TestNoLease(t *testing.T) {
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	l := &link{id: "leader", out: make(chan letter, postBox)}
	received{l, rpc.Header{Epoch: 1}, rpc.Lead{Lease: time.Second}}.apply(tab)
	<-l.out // its Report
	received{l, rpc.Header{Epoch: 1}, renews(0, time.Second)}.apply(tab)
	if beat := (<-l.out).m; beat != (rpc.Heartbeat{Seq: 2}) {
		t.Errorf("the heartbeat was answered with %+v", beat)
	}
	if h := tab.handOn(); h != nil || h.now() != nil || h.news() != nil {
		t.Error("tasks are handed a lease")
	}
}
