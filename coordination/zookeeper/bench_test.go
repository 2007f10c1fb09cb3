package zookeeper_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper"
)

// BenchmarkClaim is a hot standby's take-over: the epoch it is over is known.
func BenchmarkClaim(b *testing.B) {
	ctx := b.Context()
	s := openForBenchmark(b)
	over, err := s.Leader(ctx)
	if err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for b.Loop() {
		nonce, began := coordination.NewNonce(), time.Now()
		if _, err := s.Claim(ctx, over, coordination.Candidate{ID: "a"}, nonce); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		over = coordination.Leadership{Epoch: over.Epoch + 1, Alive: true}
	}
	report(b, took)
}

func BenchmarkCommit(b *testing.B) {
	ctx := b.Context()
	s := openForBenchmark(b)
	over, err := s.Leader(ctx)
	if err != nil {
		b.Fatal(err)
	}
	term, err := s.Claim(ctx, over, coordination.Candidate{ID: "a"}, coordination.NewNonce())
	if err != nil {
		b.Fatal(err)
	}
	versions, err := term.Commit(ctx, coordination.Create("key", nil))
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 512)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if versions, err = term.Commit(ctx, coordination.Set("key", value, versions[0])); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	report(b, took)
}

func openForBenchmark(b *testing.B) coordination.Store {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	s, err := zookeeper.Open(ctx, zookeeper.Config{Servers: ensemble.Connect(), ClusterID: coordination.NewNonce()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
}
