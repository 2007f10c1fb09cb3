package embedded

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/etcd"
	"github.com/perennial-io/perennial/internal/testetcd"
)

// patience bounds each wait; only a test that fails reaches it.
const patience = 30 * time.Second

// quorum is three members in one process.
type quorum struct {
	t       testing.TB
	configs []Config
	servers []*Server // nil: stopped
}

func startQuorum(t testing.TB) *quorum {
	t.Helper()
	q := &quorum{t: t, configs: configsOf(t, 3), servers: make([]*Server, 3)}
	t.Cleanup(q.stopAll)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { q.servers[i], errs[i] = Start(within(t), q.configs[i]) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func configsOf(t testing.TB, n int) []Config {
	t.Helper()
	addresses, dir := testetcd.Addresses(t, 2*n), t.TempDir()
	var peers []Peer
	for i := range n {
		peers = append(peers, Peer{REST: addresses[2*i], Raft: addresses[2*i+1]})
	}
	configs := make([]Config, n)
	for i := range configs {
		configs[i] = Config{Self: peers[i].REST, Peers: peers, Dir: filepath.Join(dir, fmt.Sprint(i)), Cluster: "test"}
	}
	return configs
}

// stop ends a member without handing anything over, like a crash of its process.
func (q *quorum) stop(i int) {
	if q.servers[i] != nil {
		q.servers[i].Close()
		q.servers[i] = nil
	}
}

func (q *quorum) stopAll() {
	var wg sync.WaitGroup
	for i := range q.servers {
		wg.Go(func() { q.stop(i) })
	}
	wg.Wait()
}

// restart starts a member on its data.
func (q *quorum) restart(i int) {
	q.t.Helper()
	s, err := Start(within(q.t), q.configs[i])
	if err != nil {
		q.t.Fatalf("restart of member %d: %v", i, err)
	}
	q.servers[i] = s
}

// leader is the index of Raft's leader, once all running members agree on it.
func (q *quorum) leader() int {
	q.t.Helper()
	found := -1
	until(q.t, "Raft has a leader", func() bool {
		names := map[string]bool{}
		for i, s := range q.servers {
			if s == nil {
				continue
			}
			names[s.RaftLeaderName()] = true
			if s.RaftLeader() {
				found = i
			}
		}
		return len(names) == 1 && found >= 0 && names[q.configs[found].Self]
	})
	return found
}

// lead opens a session over member i and claims.
func (q *quorum) lead(i int) (*etcd.Store, coordination.Term) {
	q.t.Helper()
	s, err := q.servers[i].Store(within(q.t), 0)
	if err != nil {
		q.t.Fatalf("Store: %v", err)
	}
	q.t.Cleanup(func() { s.Close() })
	return s, claim(q.t, s)
}

func claim(t testing.TB, s *etcd.Store) coordination.Term {
	t.Helper()
	over, err := s.Leader(within(t))
	if err != nil {
		t.Fatalf("Leader: %v", err)
	}
	term, err := s.Claim(within(t), over, coordination.Candidate{ID: "a"}, coordination.NewNonce())
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return term
}

// write commits a new key.
func write(t testing.TB, term coordination.Term) {
	t.Helper()
	if _, err := term.Commit(within(t), coordination.Create("keys/"+coordination.NewNonce(), nil)); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	each(t, 2*time.Millisecond, what, ok)
}

// each asks again after a pause: where each refusal is logged.
func each(t testing.TB, pause time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(pause)
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

// BenchmarkCommit is one commit after the other, over a member that is not Raft's leader.
func BenchmarkCommit(b *testing.B) {
	q := startQuorum(b)
	_, term := q.lead((q.leader() + 1) % 3)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		write(b, term)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkClaim is one claim after the other, over what was observed last.
func BenchmarkClaim(b *testing.B) {
	q := startQuorum(b)
	s, term := q.lead((q.leader() + 1) % 3)
	observed := s.Observe(b.Context())
	var took []time.Duration
	for b.Loop() {
		over := <-observed
		for over.Epoch != term.Epoch() {
			over = <-observed
		}
		start, err := time.Now(), error(nil)
		if term, err = s.Claim(within(b), over, coordination.Candidate{ID: "a"}, coordination.NewNonce()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
