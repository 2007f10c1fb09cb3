package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
)

// within is a context that outlasts whatever works at all.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// lead claims the next epoch.
func lead(t *testing.T, s coordination.Store, id string) coordination.Term {
	t.Helper()
	ctx := within(t, 30*time.Second)
	over, err := s.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	term, err := s.Claim(ctx, over, coordination.Candidate{ID: id}, coordination.NewNonce())
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func commit(t *testing.T, term coordination.Term, ops ...coordination.Op) {
	t.Helper()
	if _, err := term.Commit(within(t, 30*time.Second), ops...); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

// lives fails the test if the session has ended.
func lives(t *testing.T, s coordination.Store) {
	t.Helper()
	select {
	case <-s.Done():
		t.Error("the session has ended")
	default:
	}
}

// restored waits at the end of a test until the shared ensemble is whole again.
func restored(t *testing.T) {
	t.Helper()
	if err := ensemble.Restore(); err != nil {
		t.Fatal(err)
	}
}

func TestLostQuorum(t *testing.T) {
	defer restored(t)
	id := coordination.NewNonce()
	s := open(t, ensemble.Connect(), id, 40*time.Second)
	term := lead(t, s, "a")
	for _, server := range ensemble.Servers[:2] {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := term.Commit(within(t, 500*time.Millisecond), coordination.Create("key", []byte("lost")))
	if !errors.Is(err, coordination.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit without a quorum: %v, want ErrUnknown at its deadline", err)
	}
	if err := term.Check(within(t, 200*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Check without a quorum: %v", err)
	}
	restored(t)
	commit(t, term, coordination.Create("other", []byte("resumed")))
	if e, err := term.Get(within(t, 10*time.Second), "other"); err != nil || string(e.Value) != "resumed" {
		t.Errorf("after the quorum's return: %q, %v", e.Value, err)
	}
	lives(t, s)
}

func TestTwoClustersOnOneEnsemble(t *testing.T) {
	one := open(t, ensemble.Connect(), coordination.NewNonce(), 10*time.Second)
	two := open(t, ensemble.Connect(), coordination.NewNonce(), 10*time.Second)
	first, second := lead(t, one, "a"), lead(t, two, "b")
	if first.Epoch() != 1 || second.Epoch() != 1 {
		t.Errorf("epochs %d and %d, want 1 in each cluster", first.Epoch(), second.Epoch())
	}
	commit(t, first, coordination.Create("key", []byte("one")))
	commit(t, second, coordination.Create("key", []byte("two")))
	lead(t, two, "c")
	if err := first.Check(within(t, 10*time.Second)); err != nil {
		t.Errorf("a claim in the other cluster: %v", err)
	}
	if e, err := first.Get(within(t, 10*time.Second), "key"); err != nil || string(e.Value) != "one" {
		t.Errorf("key is %q, %v; want \"one\"", e.Value, err)
	}
}

// A commit of many small ops can be as large as one of a large value.
func TestRequestTooLarge(t *testing.T) {
	s := open(t, ensemble.Connect(), coordination.NewNonce(), 10*time.Second)
	term := lead(t, s, "a")
	var ops []coordination.Op
	for i := range 12_000 {
		ops = append(ops, coordination.Check(fmt.Sprintf("some/key/%06d", i), 1))
	}
	if _, err := term.Commit(within(t, 10*time.Second), ops...); !errors.Is(err, coordination.ErrTooLarge) {
		t.Errorf("Commit of %d ops: %v, want ErrTooLarge", len(ops), err)
	}
	commit(t, term, coordination.Create("key", make([]byte, coordination.MaxValue)))
	over, err := s.Leader(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	c := coordination.Candidate{ID: "b", Data: make([]byte, coordination.MaxValue)}
	if _, err := s.Claim(within(t, 10*time.Second), over, c, coordination.NewNonce()); err != nil {
		t.Errorf("Claim with the largest data: %v", err)
	}
	lives(t, s)
}
