package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
)

func claim(t *testing.T, s coordination.Store, over coordination.Epoch) coordination.Term {
	t.Helper()
	term, err := s.Claim(t.Context(), coordination.Leadership{Epoch: over, Alive: true}, coordination.Candidate{ID: "a"}, coordination.NewNonce())
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return term
}

// giveUp commits over a link that is cut, until a deadline.
func giveUp(t *testing.T, term coordination.Term, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := term.Commit(ctx, coordination.Create(key, nil)); !errors.Is(err, coordination.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Commit over a cut link: %v, want ErrUnknown and DeadlineExceeded", err)
	}
}

// TestDelayedWrite: what was sent before a cut healed lands after its author gave up, if
// its epoch is in force and its session lives.
func TestDelayedWrite(t *testing.T) {
	for name, test := range map[string]struct {
		before func(t *testing.T, s *memory.Store, c *memory.Cluster)
		lands  bool
	}{
		"nothing else happens":  {func(*testing.T, *memory.Store, *memory.Cluster) {}, true},
		"another claims":        {func(t *testing.T, _ *memory.Store, c *memory.Cluster) { open(t, c, 1) }, false},
		"its session has ended": {func(_ *testing.T, s *memory.Store, _ *memory.Cluster) { s.Expire() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := memory.New()
				s := cluster.Open()
				defer s.Close()
				term := claim(t, s, 0)
				s.Cut()
				giveUp(t, term, "late")
				test.before(t, s, cluster)
				s.Heal()
				observer := cluster.Open()
				defer observer.Close()
				l, err := observer.Leader(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, err = claim(t, observer, l.Epoch).Get(t.Context(), "late")
				if landed := err == nil; landed != test.lands {
					t.Errorf("the late write has landed: %v (%v), want %v", landed, err, test.lands)
				}
			})
		})
	}
}

func open(t *testing.T, c *memory.Cluster, over coordination.Epoch) {
	s := c.Open()
	t.Cleanup(func() { s.Close() })
	claim(t, s, over)
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New().Open()
		defer s.Close()
		s.Delay(30 * time.Millisecond)
		began := time.Now()
		term := claim(t, s, 0)
		if took := time.Since(began); took != 30*time.Millisecond {
			t.Errorf("Claim over a slow link took %v, want 30ms", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := term.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check with less time than the link takes: %v, want DeadlineExceeded", err)
		}
	})
}

// TestCutHoldsNews: an observer behind a cut link hears when it is healed, and the newest only.
func TestCutHoldsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		watcher, s := cluster.Open(), cluster.Open()
		defer watcher.Close()
		defer s.Close()
		observed := watcher.Observe(t.Context())
		<-observed // nobody leads
		watcher.Cut()
		for epoch := range coordination.Epoch(3) {
			claim(t, s, epoch)
		}
		synctest.Wait()
		select {
		case l := <-observed:
			if l.Epoch > 1 { // one reading may have been under way
				t.Fatalf("news came through a cut link: %+v", l)
			}
		default:
		}
		watcher.Heal()
		if l := <-observed; l.Epoch != 3 {
			t.Errorf("after Heal the first news is of epoch %d, want 3", l.Epoch)
		}
	})
}
