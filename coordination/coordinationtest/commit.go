package coordinationtest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/perennial-io/perennial/coordination"
)

func testVersions(t *testing.T, c Cluster) {
	term := lead(t, open(t, c), "a")
	_, err := term.Get(within(t), "jobs/1/intent")
	wantError(t, "Get of a key that is not there", err, coordination.ErrNotFound)

	created := commit(t, term, coordination.Create("jobs/1/intent", []byte("one")))[0]
	if e := get(t, term, "jobs/1/intent"); string(e.Value) != "one" || e.Version != created {
		t.Errorf("after Create: %q at %d, want \"one\" at %d", e.Value, e.Version, created)
	}
	_, err = term.Get(within(t), "jobs/1")
	wantError(t, "Get of what is only part of a key", err, coordination.ErrNotFound)

	set := commit(t, term, coordination.Set("jobs/1/intent", nil, created))[0]
	if set == created || set == coordination.NoVersion {
		t.Errorf("Set at version %d gave version %d", created, set)
	}
	if e := get(t, term, "jobs/1/intent"); len(e.Value) != 0 || e.Version != set {
		t.Errorf("after Set: %q at %d, want an empty value at %d", e.Value, e.Version, set)
	}
	if v := commit(t, term, coordination.Check("jobs/1/intent", set))[0]; v != set {
		t.Errorf("Check at %d gave version %d", set, v)
	}
	if v := commit(t, term, coordination.Delete("jobs/1/intent", set))[0]; v != coordination.NoVersion {
		t.Errorf("Delete gave version %d, want NoVersion", v)
	}
	_, err = term.Get(within(t), "jobs/1/intent")
	wantError(t, "Get of a deleted key", err, coordination.ErrNotFound)
	commit(t, term, coordination.Check("jobs/1/intent", coordination.NoVersion))
	commit(t, term, coordination.Create("jobs/1/intent", []byte("again")))
	if e := get(t, term, "jobs/1/intent"); string(e.Value) != "again" {
		t.Errorf("after Delete and Create: %q", e.Value)
	}
}

// testAllOrNothing commits several ops of which one does not hold, and then all.
func testAllOrNothing(t *testing.T, c Cluster) {
	term := lead(t, open(t, c), "a")
	v := commit(t, term,
		coordination.Create("a", []byte("a1")),
		coordination.Create("b", []byte("b1")),
		coordination.Create("c", []byte("c1")),
	)
	ops := func(checked coordination.Version) []coordination.Op {
		return []coordination.Op{
			coordination.Set("a", []byte("a2"), v[0]),
			coordination.Delete("b", v[1]),
			coordination.Create("d/e/f", []byte("f2")),
			coordination.Check("c", checked),
		}
	}
	_, err := term.Commit(within(t), ops(v[2]+1000)...)
	wantError(t, "Commit with one failing check", err, coordination.ErrConflict)
	if e := get(t, term, "a"); string(e.Value) != "a1" || e.Version != v[0] {
		t.Errorf("a refused commit changed a to %q", e.Value)
	}
	get(t, term, "b")
	_, err = term.Get(within(t), "d/e/f")
	wantError(t, "Get of what a refused commit would have created", err, coordination.ErrNotFound)

	got := commit(t, term, ops(v[2])...)
	if got[1] != coordination.NoVersion || got[3] != v[2] {
		t.Errorf("versions %v: want NoVersion for the delete and %d for the check", got, v[2])
	}
	if e := get(t, term, "a"); string(e.Value) != "a2" || e.Version != got[0] {
		t.Errorf("a is %q at %d, want \"a2\" at %d", e.Value, e.Version, got[0])
	}
	if e := get(t, term, "d/e/f"); string(e.Value) != "f2" || e.Version != got[2] {
		t.Errorf("d/e/f is %q at %d, want \"f2\" at %d", e.Value, e.Version, got[2])
	}
	_, err = term.Get(within(t), "b")
	wantError(t, "Get of what was deleted", err, coordination.ErrNotFound)
}

func testConflicts(t *testing.T, c Cluster) {
	term := lead(t, open(t, c), "a")
	old := commit(t, term, coordination.Create("key", nil))[0]
	now := commit(t, term, coordination.Set("key", []byte("now"), old))[0]
	for _, op := range []coordination.Op{
		coordination.Create("key", nil),
		coordination.Set("key", nil, old),
		coordination.Delete("key", old),
		coordination.Check("key", old),
		coordination.Check("key", coordination.NoVersion),
		coordination.Set("absent", nil, now),
		coordination.Delete("absent", now),
		coordination.Check("absent", now),
	} {
		ops := []coordination.Op{op}
		_, err := term.Commit(within(t), ops...)
		wantError(t, "Commit of "+describe(ops), err, coordination.ErrConflict)
	}
	if e := get(t, term, "key"); string(e.Value) != "now" || e.Version != now {
		t.Errorf("after refused commits key is %q at %d, want \"now\" at %d", e.Value, e.Version, now)
	}
}

// testRacingCommits sends two commits on one version at once: one wins.
func testRacingCommits(t *testing.T, c Cluster) {
	term := lead(t, open(t, c), "a")
	version := commit(t, term, coordination.Create("key", nil))[0]
	for round := range 20 {
		var errs [2]error
		var versions [2][]coordination.Version
		ctx, start := within(t), make(chan struct{})
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				<-start
				versions[i], errs[i] = term.Commit(ctx, coordination.Set("key", []byte{byte(i)}, version))
			})
		}
		close(start)
		wg.Wait()
		winner := slices.Index(errs[:], nil)
		if winner < 0 || errs[1-winner] == nil {
			t.Fatalf("round %d: errors %v, want one winner", round, errs)
		}
		wantError(t, "Commit of the loser", errs[1-winner], coordination.ErrConflict)
		version = versions[winner][0]
		if e := get(t, term, "key"); e.Version != version || !bytes.Equal(e.Value, []byte{byte(winner)}) {
			t.Fatalf("round %d: key is %v at %d, but commit %d won with version %d", round, e.Value, e.Version, winner, version)
		}
	}
}

func testList(t *testing.T, c Cluster) {
	term := lead(t, open(t, c), "a")
	if got := list(t, term, "jobs/"); len(got) != 0 {
		t.Errorf("List of nothing: %v", got)
	}
	// In no order, at several depths, with names that sort before and after the slash.
	keys := []string{"jobs/b/intent", "jobs/a0/intent", "jobs/a/x/y/z", "jobs/a-b/intent", "jobs/a/intent", "jobs/c", "jobsx/1", "job", "taskmanagers/1"}
	versions := map[string]coordination.Version{}
	for _, key := range keys {
		versions[key] = commit(t, term, coordination.Create(key, []byte("of "+key)))[0]
	}
	for _, test := range []struct {
		prefix string
		want   []string
	}{
		{"jobs/", []string{"jobs/a-b/intent", "jobs/a/intent", "jobs/a/x/y/z", "jobs/a0/intent", "jobs/b/intent", "jobs/c"}},
		{"jobs/a/", []string{"jobs/a/intent", "jobs/a/x/y/z"}},
		{"jobs/a/x/y/", []string{"jobs/a/x/y/z"}},
		{"taskmanagers/", []string{"taskmanagers/1"}},
		{"jobs/none/", nil},
	} {
		entries := list(t, term, test.prefix)
		if got := keysOf(entries); !slices.Equal(got, test.want) {
			t.Errorf("List %q: %q, want %q", test.prefix, got, test.want)
		}
		for _, e := range entries {
			if string(e.Value) != "of "+e.Key || e.Version != versions[e.Key] {
				t.Errorf("List %q: %q has the value %q at %d, want version %d", test.prefix, e.Key, e.Value, e.Version, versions[e.Key])
			}
		}
	}
	commit(t, term, coordination.Delete("jobs/a/x/y/z", versions["jobs/a/x/y/z"]))
	if got := keysOf(list(t, term, "jobs/a/")); !slices.Equal(got, []string{"jobs/a/intent"}) {
		t.Errorf("List after Delete: %q", got)
	}
}

func testLargeValues(t *testing.T, c Cluster) {
	s := open(t, c)
	large, half := make([]byte, coordination.MaxValue), make([]byte, coordination.MaxValue/2+1)
	tooLarge := append(large, 0)
	_, err := s.Claim(within(t), leader(t, s), coordination.Candidate{ID: "a", Data: tooLarge}, coordination.NewNonce())
	wantError(t, "Claim with too much data", err, coordination.ErrTooLarge)
	wantError(t, "Join with too much data", s.Join(within(t), coordination.Member{ID: "a", Data: tooLarge}), coordination.ErrTooLarge)

	term := lead(t, s, "a")
	_, err = term.Commit(within(t), coordination.Create("large", tooLarge))
	wantError(t, "Commit of too large a value", err, coordination.ErrTooLarge)
	_, err = term.Commit(within(t), coordination.Create("half1", half), coordination.Create("half2", half))
	wantError(t, "Commit of values that are too large together", err, coordination.ErrTooLarge)

	// The session is still good for what is allowed.
	commit(t, term, coordination.Create("large", large))
	if e := get(t, term, "large"); !bytes.Equal(e.Value, large) {
		t.Errorf("a value of %d bytes came back as %d bytes", len(large), len(e.Value))
	}
	for _, key := range []string{"half1", "half2"} {
		if _, err := term.Get(within(t), key); !errors.Is(err, coordination.ErrNotFound) {
			t.Errorf("Get %q after a refused commit: %v", key, err)
		}
	}
}
