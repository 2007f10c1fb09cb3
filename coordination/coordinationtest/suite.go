// Package coordinationtest is the conformance suite of package coordination: what
// every implementation has to do, said once, as tests. An implementation passes it with
//
//	func TestConformance(t *testing.T) {
//		coordinationtest.Run(t, newCluster)
//	}
//
// where newCluster is its Harness. The suite never looks inside an implementation, and
// starts no goroutine that outlives its test. The rules that it names (R7, R8 …) are those
// of docs/failover-protocol.md.
package coordinationtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
)

// Harness returns a fresh and empty cluster: nobody has led, there is no key, and nothing
// that is done in it is seen through another call's cluster. (A server that is already
// running, under a new path or prefix, will do.) What it starts ends with t.Cleanup.
type Harness func(t *testing.T) Cluster

// Cluster is how the suite reaches one cluster as several processes, and how it breaks
// their connections. A fault that an implementation cannot have is nil: its tests are
// skipped. Each fault is for a Store that Open returned, and is over with t at the latest.
type Cluster struct {
	// Open returns the session of a new process. The suite closes it.
	Open func(t *testing.T) coordination.Store

	// LoseReplies lets the requests of s reach the cluster and be executed, and none of
	// the replies come back, until restore is called. What was lost stays lost: a proxy
	// closes the connections that missed a reply. It is restored at once when the suite sees
	// the effect through another Store, so the session does not expire meanwhile.
	LoseReplies func(t *testing.T, s coordination.Store) (restore func())

	// Cut lets neither requests nor replies of s pass until heal is called. The suite
	// heals within half a second, unless the session of s is to end.
	Cut func(t *testing.T, s coordination.Store) (heal func())

	// Expire ends the session of s in the cluster without s closing it. It may return
	// before s knows.
	Expire func(t *testing.T, s coordination.Store)

	// Goroutines are those that the cluster itself starts and ends in this process
	// while it serves, so that they are not taken for leaks of a Store.
	Goroutines []goleak.Option
}

// patience bounds each wait of the suite. It is only reached by a test that fails.
const patience = 30 * time.Second

// Run runs the suite, each test on a cluster of its own.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		run  func(t *testing.T, c Cluster)
	}{
		{"NobodyLeads", testNobodyLeads},
		{"ClaimPublishes", testClaimPublishes},
		{"OneWinner", testOneWinner},
		{"ClaimTwiceWithOneNonce", testClaimTwice},
		{"ClaimOverTheLiving", testClaimOverTheLiving},
		{"ClaimSeesEveryWrite", testClaimSeesEveryWrite},
		{"ClaimWhileOldLeaderWrites", testClaimWhileOldLeaderWrites},
		{"OldLeaderIsFenced", testOldLeaderIsFenced},
		{"OldLeaderDoesNotDisturb", testOldLeaderDoesNotDisturb},

		{"Versions", testVersions},
		{"AllOrNothing", testAllOrNothing},
		{"Conflicts", testConflicts},
		{"RacingCommits", testRacingCommits},
		{"List", testList},
		{"LargeValues", testLargeValues},

		{"Observe", testObserve},
		{"ObserveSlowly", testObserveSlowly},
		{"ObserveUntilDone", testObserveUntilDone},
		{"Members", testMembers},
		{"MembersJoinAgain", testMembersJoinAgain},

		{"LostReplyOfClaim", testLostReplyOfClaim},
		{"LostReplyOfClaimThenAnother", testLostReplyOfClaimThenAnother},
		{"LostReplyOfClaimUntilDeadline", testLostReplyOfClaimUntilDeadline},
		{"LostReplyOfCommit", testLostReplyOfCommit},
		{"LostReplyOfDelete", testLostReplyOfDelete},
		{"LostReplyOfCommitUntilDeadline", testLostReplyOfCommitUntilDeadline},
		{"Cut", testCut},

		{"SessionExpires", testSessionExpires},
		{"ResumeOverNewSession", testResumeOverNewSession},
		{"ResumeWhileOldSessionLives", testResumeWhileOldSessionLives},
		{"ResumeRefused", testResumeRefused},
		{"Close", testClose},
		{"CanceledContext", testCanceledContext},
		{"NoGoroutineLeft", testNoGoroutineLeft},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, h(t)) })
	}
}

// open returns a Store that is closed with the test.
func open(t *testing.T, c Cluster) coordination.Store {
	t.Helper()
	s := c.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, coordination.ErrSessionEnded) {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// within returns a context that outlasts whatever works at all.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func candidate(id string) coordination.Candidate {
	return coordination.Candidate{ID: id, Data: []byte("address of " + id)}
}

// lead claims over whoever leads.
func lead(t *testing.T, s coordination.Store, id string) coordination.Term {
	t.Helper()
	return leadWith(t, s, id, coordination.NewNonce())
}

func leadWith(t *testing.T, s coordination.Store, id, nonce string) coordination.Term {
	t.Helper()
	over := leader(t, s)
	term, err := s.Claim(within(t), over, candidate(id), nonce)
	if err != nil {
		t.Fatalf("Claim of %s over epoch %d: %v", id, over.Epoch, err)
	}
	if got, want := term.Epoch(), over.Epoch+1; got != want {
		t.Fatalf("claimed epoch %d over epoch %d, want %d", got, over.Epoch, want)
	}
	return term
}

func leader(t *testing.T, s coordination.Store) coordination.Leadership {
	t.Helper()
	l, err := s.Leader(within(t))
	if err != nil {
		t.Fatalf("Leader: %v", err)
	}
	return l
}

func commit(t *testing.T, term coordination.Term, ops ...coordination.Op) []coordination.Version {
	t.Helper()
	versions, err := term.Commit(within(t), ops...)
	if err != nil {
		t.Fatalf("Commit of %s: %v", describe(ops), err)
	}
	if len(versions) != len(ops) {
		t.Fatalf("Commit of %d ops returned %d versions", len(ops), len(versions))
	}
	return versions
}

func get(t *testing.T, term coordination.Term, key string) coordination.Entry {
	t.Helper()
	e, err := term.Get(within(t), key)
	if err != nil {
		t.Fatalf("Get %q: %v", key, err)
	}
	if e.Key != key {
		t.Fatalf("Get %q returned the key %q", key, e.Key)
	}
	return e
}

func list(t *testing.T, term coordination.Term, prefix string) []coordination.Entry {
	t.Helper()
	entries, err := term.List(within(t), prefix)
	if err != nil {
		t.Fatalf("List %q: %v", prefix, err)
	}
	return entries
}

// await receives from ch until a value satisfies ok, and returns that value.
func await[T any](t *testing.T, ch <-chan T, what string, ok func(T) bool) T {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	var last T
	for {
		select {
		case v, open := <-ch:
			if !open {
				t.Fatalf("channel closed while waiting for %s; last value: %+v", what, last)
			}
			if ok(v) {
				return v
			}
			last = v
		case <-limit.C:
			t.Fatalf("waited %v for %s; last value: %+v", patience, what, last)
		}
	}
}

// awaitEnd receives from ch until it is closed.
func awaitEnd[T any](t *testing.T, ch <-chan T, what string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case _, open := <-ch:
			if !open {
				return
			}
		case <-limit.C:
			t.Fatalf("waited %v for %s to end", patience, what)
		}
	}
}

// until calls ok again and again, with a pause that leaves the cluster room to work.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

func wantError(t *testing.T, what string, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if errors.Is(err, want) {
			return
		}
	}
	t.Errorf("%s: error %v, want one of %v", what, err, wants)
}

func describe(ops []coordination.Op) string {
	s := ""
	for _, op := range ops {
		verb := map[coordination.OpKind]string{
			coordination.OpCheck: "check", coordination.OpCreate: "create",
			coordination.OpSet: "set", coordination.OpDelete: "delete",
		}[op.Kind]
		s += fmt.Sprintf("[%s %s at %d, %d bytes]", verb, op.Key, op.Version, len(op.Value))
	}
	return s
}
