package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/testensemble"
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, s := range ensemble.Servers {
		if s.Pid() == 0 {
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	if err := ensemble.WaitServing(ctx); err != nil {
		t.Fatal(err)
	}
}

func serverAt(t *testing.T, addr string) *testensemble.Server {
	t.Helper()
	for _, s := range ensemble.Servers {
		if s.Addr == addr {
			return s
		}
	}
	t.Fatalf("no server at %q", addr)
	return nil
}

func TestSessionMovesWhenItsServerIsKilled(t *testing.T) {
	defer restored(t)
	p := newProxy(t, ensemble.Connect())
	s := open(t, p.addresses(), coordination.NewNonce(), 20*time.Second)
	term := lead(t, s, "a")
	commit(t, term, coordination.Create("before", []byte("1")))
	if err := serverAt(t, p.server()).Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	commit(t, term, coordination.Create("after", []byte("2")))
	t.Logf("the term went on after %v", time.Since(began))
	for key, want := range map[string]string{"before": "1", "after": "2"} {
		e, err := term.Get(within(t, 10*time.Second), key)
		if err != nil || string(e.Value) != want {
			t.Errorf("%s is %q, %v; want %q", key, e.Value, err, want)
		}
	}
	lives(t, s)
}

// Frozen servers keep their connections open and say nothing. The stock client would stay
// with one for two thirds of the session timeout, and with each that it tries next for 6.7 of them.
func TestFrozenLeaderOfTheEnsemble(t *testing.T) {
	defer restored(t)
	s := open(t, ensemble.Connect(), coordination.NewNonce(), 20*time.Second)
	term := lead(t, s, "a")
	led, err := ensemble.Leader(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := led.Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = term.Check(within(t, 100*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("Check for 100 ms while nothing can be committed returned %v after %v", err, time.Since(began))
	}
	if err := term.Check(within(t, 20*time.Second)); err != nil {
		t.Errorf("Check with two servers of three: %v", err)
	}
	t.Logf("the term went on after %v", time.Since(began))
	lives(t, s)
}

func TestFrozenServerOfTheSession(t *testing.T) {
	defer restored(t)
	p := newProxy(t, ensemble.Connect())
	s := open(t, p.addresses(), coordination.NewNonce(), 20*time.Second)
	term := lead(t, s, "a")
	if err := serverAt(t, p.server()).Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := term.Check(within(t, 13*time.Second)); err != nil { // the stock client: after 13.3 s
		t.Errorf("Check with two servers of three: %v", err)
	}
	t.Logf("the term went on after %v", time.Since(began))
	lives(t, s)
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

// What waits for a connection when the session expires must not be sent in another session.
func TestExpiredSessionIsFinal(t *testing.T) {
	p := newProxy(t, ensemble.Connect())
	id := coordination.NewNonce()
	s, other := open(t, p.addresses(), id, 10*time.Second), open(t, ensemble.Connect(), id, 10*time.Second)
	term := lead(t, s, "a")
	p.cut()
	select {
	case <-p.arrived: // before
	default:
	}
	written := make(chan error, 1)
	go func() {
		_, err := term.Commit(t.Context(), coordination.Create("late", nil))
		written <- err
	}()
	<-p.arrived // the commit, which goes no further
	p.expire()
	p.heal()
	select {
	case err := <-written:
		if !errors.Is(err, coordination.ErrSessionEnded) || !errors.Is(err, coordination.ErrUnknown) {
			t.Errorf("Commit of an expired session: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Commit has not returned")
	}
	<-s.Done()
	if _, err := lead(t, other, "b").Get(within(t, 10*time.Second), "late"); !errors.Is(err, coordination.ErrNotFound) {
		t.Errorf("what the expired session had queued: %v, want ErrNotFound", err)
	}
	if sessions := p.sessions(); sessions != 1 {
		t.Errorf("the client had %d sessions, want 1: an expired one was followed by another", sessions)
	}
}

// A process that is cut off hears from nobody that its session is over.
func TestLeaseEndsWithoutAServer(t *testing.T) {
	p := newProxy(t, ensemble.Connect())
	s := open(t, p.addresses(), coordination.NewNonce(), 2*time.Second)
	term := lead(t, s, "a")
	p.cut()
	defer p.heal()
	began := time.Now()
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the session lives on without a server")
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("a session of 2 s ended after %v", took)
	}
	if err := term.Check(within(t, time.Second)); !errors.Is(err, coordination.ErrSessionEnded) {
		t.Errorf("Check after the lease: %v", err)
	}
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
