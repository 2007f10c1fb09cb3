package taskmanager

import (
	"log/slog"
	"testing"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// That the outcome of an attempt is committed says nothing about a higher one, which runs on, and
// is a promise about itself and all lower ones (R5, R6).
func TestConfirmNamesAnAttempt(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 2}, slog.New(slog.DiscardHandler))
	e := tab.entry(partKey{id, 0})
	e.current = &attempt{job: id, number: 2, process: p}

	tab.confirm(partKey{id, 0}, 1)
	if p.wanted.Err() != nil || e.current == nil || e.current.confirmed {
		t.Error("attempt 2 was ended by a confirmation of attempt 1")
	}
	if e.promised != 1 {
		t.Errorf("promised up to %d, want 1", e.promised)
	}
	tab.confirm(partKey{id, 0}, 2)
	if p.wanted.Err() == nil || e.promised != 2 {
		t.Errorf("attempt 2 is confirmed: wanted %v, promised up to %d; want its process ended and 2", p.wanted.Err(), e.promised)
	}
}

// A deploy of what was promised never to run is answered with the promise once it is true: not while
// a lower attempt is still ending (R6).
func TestPromiseIsSaidWhenItIsTrue(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	tab.leader = &link{out: make(chan letter, postBox)}
	p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 1}, slog.New(slog.DiscardHandler))
	e := tab.entry(partKey{id, 0})
	e.current = &attempt{job: id, number: 1, process: p}
	tab.running = 1

	tab.stop(partKey{id, 0}, 2)
	tab.deploy(rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 2, Subtasks: []job.Subtask{{}}})
	if n := len(tab.leader.out); n != 0 {
		t.Fatalf("%d messages while attempt 1 is ending, want none: %+v", n, (<-tab.leader.out).m)
	}
	exited{p: p}.apply(tab)
	var last rpc.Message
	for len(tab.leader.out) > 0 {
		last = (<-tab.leader.out).m
	}
	if want := (rpc.Stopped{Job: id, Attempt: 2}); last != want {
		t.Errorf("after its end: %+v, want %+v", last, want)
	}
}

// Attempts of two regions of a job are told apart: what ends one of them leaves the other, and the promise is about
// the one (R6).
func TestRegionsAreTheirOwn(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	tab.leader = &link{out: make(chan letter, postBox)}
	for region := range 2 {
		p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Region: region, Attempt: 1, Subtasks: []job.Subtask{{Vertex: region}}}, slog.New(slog.DiscardHandler))
		e := tab.entry(partKey{id, region})
		e.current = newAttempt(p.deploy)
		e.current.process = p
		tab.running++
	}
	first, second := tab.entry(partKey{id, 0}), tab.entry(partKey{id, 1})
	tab.stop(partKey{id, 1}, 3)
	if first.promised != 0 || first.current.process.wanted.Err() != nil || second.current.process.wanted.Err() == nil {
		t.Errorf("a stop of region 1: region 0 has promised %d, wanted: %v; region 1 %v", first.promised, first.current.process.wanted.Err(), second.current.process.wanted.Err())
	}
	exited{p: second.current.process}.apply(tab)
	if m := (<-tab.leader.out).m.(rpc.Status); m.Region != 1 || m.Subtasks[0].State != job.Canceled {
		t.Errorf("its end is told as %+v", m)
	}
	if m := (<-tab.leader.out).m; m != (rpc.Stopped{Job: id, Region: 1, Attempt: 3}) {
		t.Errorf("the promise is told as %+v", m)
	}
	// What a task process says of a subtask that is another's is not believed.
	other := first.current.process
	told{other, rpc.Acknowledge{Acks: []job.Acknowledgement{{Checkpoint: 1, Subtask: job.Subtask{Vertex: 1}}, {Checkpoint: 1}}}}.apply(tab)
	if len(first.current.acks) != 1 || len(second.current.acks) != 0 {
		t.Errorf("region 0 holds %v, region 1 %v", first.current.acks, second.current.acks)
	}
}

// An epoch has one leader. Another JobManager that says that it leads under it has it from coordination that was restored
// to an earlier state (the trace of internal/model's EpochHasOneLeader); a higher epoch is anybody's.
func TestOneLeaderOfAnEpoch(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	first, second := &link{id: "first", out: make(chan letter, postBox)}, &link{id: "second", out: make(chan letter, postBox)}
	for _, c := range []struct {
		name   string
		l      *link
		epoch  coordination.Epoch
		obeyed bool
	}{
		{"the first", first, 2, true},
		{"another of the same epoch", second, 2, false},
		{"the first over another connection", &link{id: "first", out: first.out}, 2, true},
		{"another of a higher one", second, 3, true},
		{"the first of that", first, 3, false},
	} {
		received{c.l, rpc.Header{Epoch: c.epoch}, rpc.Lead{}}.apply(tab)
		before := tab.entry(partKey{id, 0}).promised
		received{c.l, rpc.Header{Epoch: c.epoch}, rpc.Stop{Instance: tab.instance, Job: id, Attempt: before + 1}}.apply(tab)
		if obeyed := tab.entry(partKey{id, 0}).promised > before; obeyed != c.obeyed {
			t.Errorf("%s: obeyed %v, want %v", c.name, obeyed, c.obeyed)
		}
	}
}

// TestOlderConnectionOfTheLeader: a JobManager that vanishes from coordination and comes back is dialed again while its first connection stands,
// which it closes. What it said over that may come last, and then its end: the TaskManager goes on over the other, and tells
// the leader anew what it holds.
func TestOlderConnectionOfTheLeader(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	older, newer := &link{id: "leader", out: make(chan letter, postBox)}, &link{id: "leader", out: make(chan letter, postBox)}
	standby := &link{id: "standby", out: make(chan letter, postBox)}
	for _, l := range []*link{older, newer, standby} {
		joined{l}.apply(tab)
	}
	for _, l := range []*link{newer, older} {
		received{l, rpc.Header{Epoch: 2}, rpc.Lead{}}.apply(tab)
	}
	reports := len(newer.out)
	left{older}.apply(tab)
	if tab.leader != newer || len(newer.out) != reports+1 {
		t.Errorf("after the end of the older connection the leader has %d reports over the newer one, want %d", len(newer.out), reports+1)
	}
	received{newer, rpc.Header{Epoch: 2}, rpc.Stop{Instance: tab.instance, Job: id, Attempt: 1}}.apply(tab)
	if tab.entry(partKey{id, 0}).promised != 1 {
		t.Error("the leader is not obeyed over its newer connection")
	}
	left{newer}.apply(tab)
	if tab.leader != nil {
		t.Errorf("without a connection to the leader %q is followed", tab.leader.id)
	}
}
