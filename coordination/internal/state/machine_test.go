package state

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPersistFails: what may or may not be on disk is not visible, and nothing is
// written after it, since a later write could make a lie of it.
func TestPersistFails(t *testing.T) {
	full := errors.New("no space left on device")
	var fails error
	persisted := 0
	m := New(Snapshot{}, func(Change) error {
		if fails == nil {
			persisted++
		}
		return fails
	})
	s := m.Open(Direct{})
	defer s.Close()
	term, err := s.Claim(t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "a"}, coordination.NewNonce())
	if err != nil {
		t.Fatal(err)
	}
	fails = full
	if _, err := term.Commit(t.Context(), coordination.Create("a", nil)); !errors.Is(err, full) || !errors.Is(err, coordination.ErrUnknown) {
		t.Errorf("Commit on a full disk: %v, want ErrUnknown with the reason", err)
	}
	if _, err := term.Get(t.Context(), "a"); !errors.Is(err, coordination.ErrNotFound) {
		t.Errorf("Get of what could not be written: %v, want ErrNotFound", err)
	}
	fails = nil
	if _, err := term.Commit(t.Context(), coordination.Create("b", nil)); !errors.Is(err, full) {
		t.Errorf("Commit after a failed one: %v, want the first reason", err)
	}
	if _, err := s.Claim(t.Context(), coordination.Leadership{Epoch: 1, Alive: true}, coordination.Candidate{ID: "a"}, coordination.NewNonce()); !errors.Is(err, full) {
		t.Errorf("Claim after a failed commit: %v, want the first reason", err)
	}
	if persisted != 1 {
		t.Errorf("%d changes reached the disk, want the first claim only", persisted)
	}
}
