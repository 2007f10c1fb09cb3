package taskmanager

import (
	"log/slog"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// That the outcome of an attempt is committed says nothing about a higher one, which runs on, and
// is a promise about itself and all lower ones (R5, R6).
func TestConfirmNamesAnAttempt(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 2})
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
	p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 1})
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
