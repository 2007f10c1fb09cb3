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
	e := tab.entry(id)
	e.current = &attempt{job: id, number: 2, process: p}

	tab.confirm(id, 1)
	if p.wanted.Err() != nil || e.current == nil || e.current.confirmed {
		t.Error("attempt 2 was ended by a confirmation of attempt 1")
	}
	if e.promised != 1 {
		t.Errorf("promised up to %d, want 1", e.promised)
	}
	tab.confirm(id, 2)
	if p.wanted.Err() == nil || e.promised != 2 {
		t.Errorf("attempt 2 is confirmed: wanted %v, promised up to %d; want its process ended and 2", p.wanted.Err(), e.promised)
	}
}
