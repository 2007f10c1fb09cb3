package coordinationtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
)

// outcome is what a call that runs in its own goroutine returned.
type outcome[T any] struct {
	value T
	err   error
}

func async[T any](call func() (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		v, err := call()
		done <- outcome[T]{v, err}
	}()
	return done
}

func result[T any](t *testing.T, done <-chan outcome[T], what string) (T, error) {
	t.Helper()
	select {
	case o := <-done:
		return o.value, o.err
	case <-time.After(2 * patience): // more than the context of the call
		t.Fatalf("%s has not returned", what)
		panic("unreachable")
	}
}

func loseReplies(t *testing.T, c Cluster, s coordination.Store) (restore func()) {
	t.Helper()
	if c.LoseReplies == nil {
		t.Skip("this implementation has no network on which a reply could be lost")
	}
	return c.LoseReplies(t, s)
}

// testLostReplyOfClaim: the claim takes effect, and the claimant learns that it is its own (R8).
func testLostReplyOfClaim(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	over, nonce := leader(t, a), coordination.NewNonce()
	restore := loseReplies(t, c, a)
	claim := async(func() (coordination.Term, error) {
		return a.Claim(within(t), over, candidate("a"), nonce)
	})
	until(t, "the claim is in force", func() bool { return leader(t, b).Epoch == 1 })
	restore()
	term, err := result(t, claim, "Claim")
	if err != nil {
		t.Fatalf("Claim that took effect and whose reply was lost: %v", err)
	}
	if term.Epoch() != 1 {
		t.Errorf("Claim returned epoch %d, want 1", term.Epoch())
	}
	commit(t, term, coordination.Create("job", nil))
	if l := leader(t, b); l.Epoch != 1 || l.Nonce != nonce || !l.Alive {
		t.Errorf("Leader is %+v, want epoch 1 with nonce %s, alive", l, nonce)
	}
}

// testLostReplyOfClaimThenAnother: before the claimant hears of it, another claims over it.
func testLostReplyOfClaimThenAnother(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	over := leader(t, a)
	restore := loseReplies(t, c, a)
	claim := async(func() (coordination.Term, error) {
		return a.Claim(within(t), over, candidate("a"), coordination.NewNonce())
	})
	until(t, "the claim is in force", func() bool { return leader(t, b).Epoch == 1 })
	newer := lead(t, b, "b")
	restore()
	term, err := result(t, claim, "Claim")
	if err == nil {
		err = term.Check(within(t)) // it did take epoch 1; it must not take it for the newest
	}
	wantError(t, "Claim that was overtaken", err, coordination.ErrLost, coordination.ErrStaleEpoch)
	commit(t, newer, coordination.Create("job", nil))
	if l := leader(t, b); l.Epoch != 2 || l.ID != "b" || !l.Alive {
		t.Errorf("Leader is %+v, want epoch 2 of b, alive", l)
	}
}

// testLostReplyOfClaimUntilDeadline: the claimant gives up in the dark; Resume tells later.
func testLostReplyOfClaimUntilDeadline(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	over, nonce := leader(t, a), coordination.NewNonce()
	restore := loseReplies(t, c, a)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	claim := async(func() (coordination.Term, error) {
		return a.Claim(ctx, over, candidate("a"), nonce)
	})
	until(t, "the claim is in force", func() bool { return leader(t, b).Epoch == 1 })
	cancel()
	_, err := result(t, claim, "Claim")
	wantError(t, "Claim whose context ended before a reply", err, coordination.ErrUnknown)
	restore()
	term, err := a.Resume(within(t), candidate("a"), nonce)
	if err != nil {
		t.Fatalf("Resume of a claim that took effect: %v", err)
	}
	if term.Epoch() != 1 {
		t.Errorf("Resume returned epoch %d, want 1", term.Epoch())
	}
	commit(t, term, coordination.Create("job", nil))
}

// leadTwice returns two terms of one epoch, over two sessions: one to be disturbed,
// and one to look at what it has done.
func leadTwice(t *testing.T, a, b coordination.Store) (term, witness coordination.Term) {
	t.Helper()
	nonce := coordination.NewNonce()
	term = leadWith(t, a, "a", nonce)
	witness, err := b.Resume(within(t), candidate("a"), nonce)
	if err != nil {
		t.Fatalf("Resume: %v", err)
	}
	return term, witness
}

func exists(t *testing.T, term coordination.Term, key string) bool {
	t.Helper()
	_, err := term.Get(within(t), key)
	if err != nil && !errors.Is(err, coordination.ErrNotFound) {
		t.Fatalf("Get %q: %v", key, err)
	}
	return err == nil
}

func testLostReplyOfCommit(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	term, witness := leadTwice(t, a, b)
	v := commit(t, term, coordination.Create("set", nil), coordination.Create("deleted", nil), coordination.Create("checked", nil))
	restore := loseReplies(t, c, a)
	call := async(func() ([]coordination.Version, error) {
		return term.Commit(within(t),
			coordination.Set("set", []byte("once"), v[0]),
			coordination.Delete("deleted", v[1]),
			coordination.Check("checked", v[2]),
			coordination.Create("created", []byte("once")))
	})
	until(t, "the commit has landed", func() bool { return exists(t, witness, "created") })
	set, created := get(t, witness, "set"), get(t, witness, "created")
	restore()
	versions, err := result(t, call, "Commit")
	if err != nil {
		t.Fatalf("Commit that took effect and whose reply was lost: %v", err)
	}
	want := []coordination.Version{set.Version, coordination.NoVersion, v[2], created.Version}
	for i := range want {
		if len(versions) != len(want) || versions[i] != want[i] {
			t.Fatalf("Commit whose reply was lost returned the versions %v, want %v", versions, want)
		}
	}
	if e := get(t, term, "set"); e.Version != set.Version || string(e.Value) != "once" {
		t.Errorf("set is %q at %d, and was at %d when the commit landed: not one effect", e.Value, e.Version, set.Version)
	}
	if exists(t, term, "deleted") {
		t.Error("what the commit deleted is there")
	}
}

// testLostReplyOfDelete: a commit that writes no value has nothing to carry a nonce in.
func testLostReplyOfDelete(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	term, witness := leadTwice(t, a, b)
	v := commit(t, term, coordination.Create("deleted", nil))[0]
	restore := loseReplies(t, c, a)
	call := async(func() ([]coordination.Version, error) {
		return term.Commit(within(t), coordination.Delete("deleted", v))
	})
	until(t, "the delete has landed", func() bool { return !exists(t, witness, "deleted") })
	restore()
	if _, err := result(t, call, "Commit"); err != nil {
		t.Fatalf("Commit of a delete that took effect and whose reply was lost: %v", err)
	}
}

func testLostReplyOfCommitUntilDeadline(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	term, witness := leadTwice(t, a, b)
	restore := loseReplies(t, c, a)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	call := async(func() ([]coordination.Version, error) {
		return term.Commit(ctx, coordination.Create("created", []byte("once")))
	})
	until(t, "the commit has landed", func() bool { return exists(t, witness, "created") })
	cancel()
	_, err := result(t, call, "Commit")
	wantError(t, "Commit whose context ended before a reply", err, coordination.ErrUnknown)
	restore()
	e := get(t, term, "created")
	commit(t, term, coordination.Set("created", []byte("twice"), e.Version))
}

// testCut calls while nothing passes: deadlines are kept, and what waited is done
// once something does.
func testCut(t *testing.T, c Cluster) {
	if c.Cut == nil {
		t.Skip("this implementation has no network to cut")
	}
	a, b := open(t, c), open(t, c)
	over := leader(t, a)
	heal := c.Cut(t, a)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := a.Leader(short)
	wantError(t, "Leader while cut off", err, context.DeadlineExceeded)
	claim := async(func() (coordination.Term, error) {
		return a.Claim(within(t), over, candidate("a"), coordination.NewNonce())
	})
	if l := leader(t, b); l.Epoch != 0 {
		t.Errorf("the claim of a process that is cut off took epoch %d", l.Epoch)
	}
	heal()
	term, err := result(t, claim, "Claim")
	if err != nil {
		t.Fatalf("Claim that waited for the connection: %v", err)
	}

	heal = c.Cut(t, a)
	write := async(func() ([]coordination.Version, error) {
		return term.Commit(within(t), coordination.Create("job", nil))
	})
	short, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantError(t, "Check while cut off", term.Check(short), context.DeadlineExceeded)
	heal()
	if _, err := result(t, write, "Commit"); err != nil {
		t.Fatalf("Commit that waited for the connection: %v", err)
	}
	if l := leader(t, b); l.Epoch != 1 || !l.Alive {
		t.Errorf("after two short cuts Leader is %+v, want epoch 1, alive", l)
	}
}
