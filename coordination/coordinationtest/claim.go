package coordinationtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/perennial-io/perennial/coordination"
)

func testNobodyLeads(t *testing.T, c Cluster) {
	s := open(t, c)
	if l := leader(t, s); l.Epoch != 0 || l.Alive || l.ID != "" {
		t.Errorf("in an empty cluster Leader is %+v, want none", l)
	}
	_, err := s.Claim(within(t), coordination.Leadership{Epoch: 7}, candidate("a"), coordination.NewNonce())
	wantError(t, "Claim over an epoch that never was", err, coordination.ErrLost)
}

func testClaimPublishes(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	nonce := coordination.NewNonce()
	term := leadWith(t, a, "a", nonce)
	if err := term.Check(within(t)); err != nil {
		t.Errorf("Check of a new term: %v", err)
	}
	// R7: whoever asks after the claim was acknowledged must see it.
	l := leader(t, b)
	if l.Epoch != 1 || l.ID != "a" || string(l.Data) != "address of a" || l.Nonce != nonce || !l.Alive {
		t.Errorf("Leader is %+v, want epoch 1 of a, alive, with its data and nonce %s", l, nonce)
	}
}

// testOneWinner lets several processes claim over the same leadership at the same moment.
func testOneWinner(t *testing.T, c Cluster) {
	const processes, rounds = 4, 25
	stores := make([]coordination.Store, processes)
	for i := range stores {
		stores[i] = open(t, c)
	}
	for round := range rounds {
		over := leader(t, stores[round%processes])
		if over.Epoch != coordination.Epoch(round) {
			t.Fatalf("after %d claims the epoch is %d (I1)", round, over.Epoch)
		}
		winner := race(t, stores, over)
		for i, s := range stores {
			if l := leader(t, s); l.ID != winner {
				t.Fatalf("round %d: store %d sees the leader %q, but %q won", round, i, l.ID, winner)
			}
		}
	}
}

// race claims over the same leadership through each store at once and returns who won.
func race(t *testing.T, stores []coordination.Store, over coordination.Leadership) string {
	t.Helper()
	terms := make([]coordination.Term, len(stores))
	errs := make([]error, len(stores))
	ctx, start := within(t), make(chan struct{})
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			<-start
			terms[i], errs[i] = s.Claim(ctx, over, candidate(fmt.Sprint("p", i)), coordination.NewNonce())
		})
	}
	close(start)
	wg.Wait()
	winner := ""
	for i, err := range errs {
		switch {
		case err == nil && winner != "":
			t.Fatalf("both %s and p%d claimed epoch %d (I1)", winner, i, over.Epoch+1)
		case err == nil && terms[i].Epoch() != over.Epoch+1:
			t.Fatalf("p%d claimed epoch %d over epoch %d", i, terms[i].Epoch(), over.Epoch)
		case err == nil:
			winner = fmt.Sprint("p", i)
		case !errors.Is(err, coordination.ErrLost):
			t.Fatalf("Claim of p%d: %v, want ErrLost", i, err)
		}
	}
	if winner == "" {
		t.Fatalf("nobody won epoch %d", over.Epoch+1)
	}
	return winner
}

func testClaimTwice(t *testing.T, c Cluster) {
	s := open(t, c)
	nobody, nonce := leader(t, s), coordination.NewNonce()
	for range 2 {
		term, err := s.Claim(within(t), nobody, candidate("a"), nonce)
		if err != nil {
			t.Fatalf("Claim: %v", err)
		}
		if term.Epoch() != 1 {
			t.Fatalf("the same claim, sent again, has epoch %d, want 1", term.Epoch())
		}
		commit(t, term, coordination.Create("by/"+coordination.NewNonce(), nil))
	}
	if l := leader(t, s); l.Epoch != 1 || !l.Alive {
		t.Errorf("Leader is %+v, want epoch 1, alive", l)
	}
}

// testClaimOverTheLiving is a candidate who has heard of the leader's end, and not of its return.
func testClaimOverTheLiving(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	observed, nonce := b.Observe(within(t)), coordination.NewNonce()
	leadWith(t, a, "a", nonce)
	end(t, c, a)
	gone := await(t, observed, "a's death", func(l coordination.Leadership) bool { return l.Epoch == 1 && !l.Alive })
	again := open(t, c)
	term, err := again.Resume(within(t), candidate("a"), nonce)
	if err != nil {
		t.Fatalf("Resume: %v", err)
	}

	_, err = b.Claim(within(t), gone, candidate("b"), coordination.NewNonce())
	wantError(t, "Claim over a leader that lives again", err, coordination.ErrLost)
	commit(t, term, coordination.Create("job", nil))
	if l := leader(t, b); l.Epoch != 1 || !l.Alive {
		t.Errorf("Leader is %+v, want epoch 1 of a, alive", l)
	}

	if err := term.Resign(within(t)); err != nil {
		t.Fatalf("Resign: %v", err)
	}
	next, err := b.Claim(within(t), gone, candidate("b"), coordination.NewNonce())
	if err != nil || next.Epoch() != 2 {
		t.Fatalf("Claim after the resignation: epoch %v, error %v, want 2", next, err)
	}
}

// testClaimSeesEveryWrite hands leadership from store to store; each new leader must
// read all that was committed before, at once (I10).
func testClaimSeesEveryWrite(t *testing.T, c Cluster) {
	stores := []coordination.Store{open(t, c), open(t, c), open(t, c)}
	version := coordination.NoVersion
	for round := range 15 {
		term := lead(t, stores[round%len(stores)], "p")
		if got := len(list(t, term, "rounds/")); got != round {
			t.Fatalf("the claim of epoch %d sees %d of %d writes", term.Epoch(), got, round)
		}
		last := coordination.Create("last", []byte("0"))
		if round > 0 {
			e := get(t, term, "last")
			if string(e.Value) != fmt.Sprint(round-1) || e.Version != version {
				t.Fatalf("the claim of epoch %d reads %q at version %d, want \"%d\" at %d", term.Epoch(), e.Value, e.Version, round-1, version)
			}
			last = coordination.Set("last", fmt.Append(nil, round), e.Version)
		}
		version = commit(t, term, last, coordination.Create(fmt.Sprintf("rounds/%02d", round), nil))[0]
	}
}

// testClaimWhileOldLeaderWrites claims while the old leader commits as fast as it can:
// what it was told to be committed is there after the claim, and nothing comes later (I2).
func testClaimWhileOldLeaderWrites(t *testing.T, c Cluster) {
	stores := []coordination.Store{open(t, c), open(t, c)}
	for round := range 5 {
		old := lead(t, stores[0], "old")
		prefix := fmt.Sprintf("round%d/", round)
		claimed, writing := make(chan struct{}), make(chan struct{})
		written := async(func() ([]string, error) { return writeUntilRefused(t, old, prefix, writing, claimed) })
		select {
		case <-writing:
		case w := <-written:
			t.Fatalf("after %d commits the leader in force was refused: %v", len(w.value), w.err)
		}
		term := lead(t, stores[1], "new")
		close(claimed)
		seen := keysOf(list(t, term, prefix))
		acknowledged, err := result(t, written, "Commit of the old leader")
		wantError(t, "Commit of the old leader", err, coordination.ErrStaleEpoch)
		for _, key := range acknowledged {
			if !slices.Contains(seen, key) {
				t.Fatalf("%q was acknowledged to the old leader and is missing after the claim", key)
			}
		}
		if later := keysOf(list(t, term, prefix)); !slices.Equal(later, seen) {
			t.Fatalf("after the claim there were %d entries, later %d: a stale write landed", len(seen), len(later))
		}
	}
}

// writeUntilRefused creates keys as fast as it can and returns those that were acknowledged,
// and the error that ended it: none if commits are still accepted long after claimed is
// closed. It closes writing once it is well under way.
func writeUntilRefused(t *testing.T, term coordination.Term, prefix string, writing, claimed chan struct{}) (keys []string, err error) {
	ctx, late := within(t), 0
	for late < 20 {
		select {
		case <-claimed:
			late++
		default:
		}
		key := fmt.Sprintf("%s%06d", prefix, len(keys))
		if _, err := term.Commit(ctx, coordination.Create(key, nil)); err != nil {
			return keys, err
		}
		if keys = append(keys, key); len(keys) == 4 {
			close(writing)
		}
	}
	return keys, nil
}

func keysOf(entries []coordination.Entry) []string {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys
}

// testOldLeaderIsFenced is the leader that was paused, replaced and woken. Its session
// lives and the versions it knows are right; the epoch alone refuses it.
func testOldLeaderIsFenced(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	old := lead(t, a, "a")
	v := commit(t, old, coordination.Create("job", []byte("by a")))[0]
	term := lead(t, b, "b")

	refused := [][]coordination.Op{
		{coordination.Set("job", []byte("by a again"), v)},
		{coordination.Create("other", nil)},
		{coordination.Delete("job", v)},
		{coordination.Check("job", v)},
		{coordination.Set("job", nil, v+1)}, // wrong as well, but staleness is what its author must learn
		{coordination.Create("job", nil)},
	}
	for _, ops := range refused {
		_, err := old.Commit(within(t), ops...)
		wantError(t, "Commit of the old leader, "+describe(ops), err, coordination.ErrStaleEpoch)
	}
	wantError(t, "Check of the old leader", old.Check(within(t)), coordination.ErrStaleEpoch)

	if e := get(t, term, "job"); string(e.Value) != "by a" || e.Version != v {
		t.Errorf("the new leader reads %q at %d, want \"by a\" at %d", e.Value, e.Version, v)
	}
	_, err := term.Get(within(t), "other")
	wantError(t, "Get of what only the old leader created", err, coordination.ErrNotFound)
}

func testOldLeaderDoesNotDisturb(t *testing.T, c Cluster) {
	a, b := open(t, c), open(t, c)
	old := lead(t, a, "a")
	term := lead(t, b, "b")
	if err := old.Resign(within(t)); err != nil {
		wantError(t, "Resign of the old leader", err, coordination.ErrStaleEpoch)
	}
	if l := leader(t, b); l.ID != "b" || !l.Alive {
		t.Errorf("after the old leader resigned Leader is %+v, want b, alive", l)
	}
	if err := a.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if l := leader(t, b); l.ID != "b" || !l.Alive {
		t.Errorf("after the old leader's session ended Leader is %+v, want b, alive", l)
	}
	commit(t, term, coordination.Create("job", nil))
}
