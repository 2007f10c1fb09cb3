package coordinationtest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
)

// end ends the session of s, as rudely as the cluster can.
func end(t *testing.T, c Cluster, s coordination.Store) {
	t.Helper()
	if c.Expire != nil {
		c.Expire(t, s)
	} else if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	awaitDone(t, s)
}

func awaitDone(t *testing.T, s coordination.Store) {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatalf("Done is still open %v after the session ended", patience)
	}
}

// refusesAll calls every method of an ended session.
func refusesAll(t *testing.T, s coordination.Store, term coordination.Term) {
	t.Helper()
	ctx := within(t)
	for what, call := range calls(s, term) {
		wantError(t, what+" after the session ended", call(ctx), coordination.ErrSessionEnded)
	}
	awaitEnd(t, s.Observe(ctx), "Observe of an ended session")
	awaitEnd(t, s.WatchMembers(ctx), "WatchMembers of an ended session")
}

// calls names each method that talks to the cluster.
func calls(s coordination.Store, term coordination.Term) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Leader": func(ctx context.Context) error { _, err := s.Leader(ctx); return err },
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, coordination.Leadership{Epoch: term.Epoch()}, candidate("x"), coordination.NewNonce())
			return err
		},
		"Resume": func(ctx context.Context) error {
			_, err := s.Resume(ctx, candidate("x"), coordination.NewNonce())
			return err
		},
		"Join":    func(ctx context.Context) error { return s.Join(ctx, coordination.Member{ID: "x"}) },
		"Members": func(ctx context.Context) error { _, err := s.Members(ctx); return err },
		"Check":   term.Check,
		"Get":     func(ctx context.Context) error { _, err := term.Get(ctx, "key"); return err },
		"List":    func(ctx context.Context) error { _, err := term.List(ctx, "keys/"); return err },
		"Commit": func(ctx context.Context) error {
			_, err := term.Commit(ctx, coordination.Create("key", nil))
			return err
		},
		"Resign": term.Resign,
	}
}

// testSessionExpires ends a leader's session without its doing.
func testSessionExpires(t *testing.T, c Cluster) {
	if c.Expire == nil {
		t.Skip("sessions of this implementation end only by Close")
	}
	a, b := open(t, c), open(t, c)
	term := lead(t, a, "a")
	commit(t, term, coordination.Create("job", []byte("of epoch 1")))
	join(t, a, "a", "at a")
	own, observed, watched := a.Observe(within(t)), b.Observe(within(t)), b.WatchMembers(within(t))
	await(t, watched, "the member", func(m []coordination.Member) bool { return len(m) == 1 })

	c.Expire(t, a)
	await(t, observed, "a's death", func(l coordination.Leadership) bool { return l.Epoch == 1 && !l.Alive })
	await(t, watched, "the member's end", func(m []coordination.Member) bool { return len(m) == 0 })
	awaitDone(t, a)
	awaitEnd(t, own, "Observe of the ended session")
	refusesAll(t, a, term)

	if l := leader(t, b); l.Epoch != 1 || l.ID != "a" || l.Alive {
		t.Errorf("Leader is %+v, want the epoch 1 of a, not alive", l)
	}
	if e := get(t, lead(t, b, "b"), "job"); string(e.Value) != "of epoch 1" {
		t.Errorf("the next leader reads %q", e.Value)
	}
}

// testResumeOverNewSession is a living leader whose session expired: it goes on in its epoch.
func testResumeOverNewSession(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	observed, nonce := b.Observe(within(t)), coordination.NewNonce()
	term := leadWith(t, a, "a", nonce)
	v := commit(t, term, coordination.Create("job", nil))[0]
	end(t, c, a)
	await(t, observed, "a's death", func(l coordination.Leadership) bool { return l.Epoch == 1 && !l.Alive })

	again := open(t, c)
	term, err := again.Resume(within(t), candidate("a"), nonce)
	if err != nil {
		t.Fatalf("Resume: %v", err)
	}
	if term.Epoch() != 1 {
		t.Errorf("Resume returned epoch %d, want 1", term.Epoch())
	}
	await(t, observed, "a's return", func(l coordination.Leadership) bool { return l.Epoch == 1 && l.ID == "a" && l.Alive })
	commit(t, term, coordination.Set("job", []byte("more"), v))
	if err := term.Resign(within(t)); err != nil {
		t.Fatalf("Resign: %v", err)
	}
	await(t, observed, "a's resignation", func(l coordination.Leadership) bool { return l.Epoch == 1 && !l.Alive })
}

// testResumeWhileOldSessionLives: the process took its session for dead before the
// cluster did. The late end of the old session must not take the new one's life.
func testResumeWhileOldSessionLives(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	_, term := leadTwice(t, a, b)
	end(t, c, a)
	commit(t, term, coordination.Create("job", nil))
	if l := leader(t, open(t, c)); l.Epoch != 1 || !l.Alive {
		t.Errorf("after the end of the old session Leader is %+v, want epoch 1, alive", l)
	}
}

func testResumeRefused(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	nonce := coordination.NewNonce()
	_, err := a.Resume(within(t), candidate("a"), nonce)
	wantError(t, "Resume before anybody led", err, coordination.ErrStaleEpoch)
	leadWith(t, a, "a", nonce)
	_, err = b.Resume(within(t), candidate("b"), coordination.NewNonce())
	wantError(t, "Resume under a nonce that claimed nothing", err, coordination.ErrStaleEpoch)
	lead(t, b, "b")
	for _, s := range []coordination.Store{a, b} {
		_, err = s.Resume(within(t), candidate("a"), nonce)
		wantError(t, "Resume after the next claim", err, coordination.ErrStaleEpoch)
	}
	if l := leader(t, a); l.Epoch != 2 || l.ID != "b" || !l.Alive {
		t.Errorf("after refused Resumes Leader is %+v, want epoch 2 of b, alive", l)
	}
}

func testClose(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	observed, watched := b.Observe(within(t)), b.WatchMembers(within(t))
	term := lead(t, a, "a")
	join(t, a, "a", "at a")
	await(t, watched, "the member", func(m []coordination.Member) bool { return len(m) == 1 })
	own := a.Observe(within(t))
	if err := a.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	select {
	case <-a.Done():
	default:
		t.Error("Done is open after Close")
	}
	awaitEnd(t, own, "Observe of the closed session")
	refusesAll(t, a, term)
	await(t, observed, "the leader's end", func(l coordination.Leadership) bool { return l.Epoch == 1 && !l.Alive })
	await(t, watched, "the member's end", func(m []coordination.Member) bool { return len(m) == 0 })
}

// testCanceledContext: a call whose context is done does nothing, and the session lives.
func testCanceledContext(t *testing.T, c Cluster) {
	s := open(t, c)
	term := lead(t, s, "a")
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for what, call := range calls(s, term) {
		wantError(t, what+" with a canceled context", call(done), context.Canceled, coordination.ErrUnknown)
	}
	awaitEnd(t, s.Observe(done), "Observe with a canceled context")
	awaitEnd(t, s.WatchMembers(done), "WatchMembers with a canceled context")
	if err := term.Check(within(t)); err != nil {
		t.Errorf("Check after canceled calls: %v", err)
	}
}

// testNoGoroutineLeft uses all that may start a goroutine, reads none of it, and closes.
func testNoGoroutineLeft(t *testing.T, c Cluster) {
	use := func() {
		s := c.Open(t)
		s.Observe(t.Context())
		s.WatchMembers(t.Context())
		commit(t, lead(t, s, "a"), coordination.Create(coordination.NewNonce(), nil))
		join(t, s, "a", "")
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	use() // what the cluster itself starts at its first use is there now
	before := append([]goleak.Option{goleak.IgnoreCurrent()}, c.Goroutines...)
	use()
	goleak.VerifyNone(t, before...)
}
