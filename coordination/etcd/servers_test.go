package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/etcd"
	"github.com/perennial-io/perennial/internal/testetcd"
)

// patience bounds each wait; only a test that fails reaches it.
const patience = 30 * time.Second

func TestConfigRefused(t *testing.T) {
	good := []string{"localhost:2379"}
	for _, test := range []struct {
		endpoints []string
		cluster   string
		want      string
	}{
		{nil, "c", "no endpoints"},
		{[]string{"localhost"}, "c", `endpoint "localhost": want host:port`},
		{[]string{"localhost:2379", ""}, "c", `endpoint "": want host:port`},
		{[]string{":2379"}, "c", `endpoint ":2379": want host:port`},
		{[]string{"localhost:etcd"}, "c", "the port is no number"},
		{[]string{"localhost:70000"}, "c", "the port is no number"},
		{good, "", `cluster id ""`},
		{good, "a/b", `cluster id "a/b"`},
	} {
		_, err := etcd.Open(within(t), etcd.Config{Endpoints: test.endpoints, Cluster: test.cluster})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("endpoints %q, cluster %q: error %v, want one with %q", test.endpoints, test.cluster, err, test.want)
		}
	}
}

// TestNobodyAnswers: Open keeps trying, and can be stopped.
func TestNobodyAnswers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := etcd.Open(ctx, etcd.Config{Endpoints: testetcd.Addresses(t, 1), Cluster: "c"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the end of the context", err)
	}
}

// TestServersLost freezes and kills each server in its turn, Raft's leader among them, and
// then a majority.
func TestServersLost(t *testing.T) {
	servers := testetcd.Start(t, 3)
	s := open(t, etcd.Config{Endpoints: servers.Endpoints(), Cluster: "c"})
	observed := s.Observe(t.Context())
	term := lead(t, s)
	for i := range 3 {
		servers.Signal(i, syscall.SIGSTOP)
		write(t, term, fmt.Sprintf("server %d is frozen", i))
		servers.Signal(i, syscall.SIGCONT)
		servers.Kill(i)
		write(t, term, fmt.Sprintf("server %d is dead", i))
		servers.Restart(i)
	}
	servers.Kill(0)
	servers.Kill(1)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := term.Commit(short, coordination.Create("in the dark", nil))
	if !errors.Is(err, coordination.ErrUnknown) {
		t.Errorf("Commit without a majority: %v, want an unknown outcome", err)
	}
	servers.Restart(1)
	write(t, term, "a majority is back")

	other := open(t, etcd.Config{Endpoints: servers.Endpoints(), Cluster: "c"})
	lead(t, other)
	for l := range observed { // a watch outlives the server that it was on
		if l.Epoch == 2 {
			break
		}
	}
	if err := term.Check(within(t)); !errors.Is(err, coordination.ErrStaleEpoch) {
		t.Errorf("Check of the old term: %v, want a stale epoch", err)
	}
}

// TestOwnClock: a session that could not be renewed is over by its own clock, and stays
// over although etcd would renew it again.
func TestOwnClock(t *testing.T) {
	servers := testetcd.Start(t, 1)
	renewals := 0
	s := open(t, etcd.Config{
		Endpoints: servers.Endpoints(), Cluster: "c", SessionTimeout: time.Second,
		Renew: func(context.Context, clientv3.LeaseID) (time.Duration, error) {
			renewals++
			return 0, errors.New("no way through")
		},
	})
	term := lead(t, s)
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatal("the session goes on without being renewed")
	}
	if err := term.Check(within(t)); !errors.Is(err, coordination.ErrSessionEnded) {
		t.Errorf("Check: %v, want the end of the session", err)
	}
	if s.Close(); renewals == 0 {
		t.Error("the session was never renewed")
	}
}

// TestHistory: the newest 64 claims are kept.
func TestHistory(t *testing.T) {
	servers := testetcd.Start(t, 1)
	s := open(t, etcd.Config{Endpoints: servers.Endpoints(), Cluster: "c"})
	for range 70 {
		lead(t, s)
	}
	admin, err := clientv3.New(clientv3.Config{Endpoints: servers.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	resp, err := admin.Get(within(t), "/perennial/c/history/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, kv := range resp.Kvs {
		kept[string(kv.Key)] = true
	}
	for e := 1; e <= 70; e++ {
		if key := fmt.Sprint("/perennial/c/history/", e); kept[key] != (e > 6) {
			t.Errorf("%s is kept: %v", key, kept[key])
		}
	}
}

func open(t *testing.T, cfg etcd.Config) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(within(t), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func lead(t *testing.T, s *etcd.Store) coordination.Term {
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

// write commits, over each of three connections, and logs how long that took.
func write(t *testing.T, term coordination.Term, when string) {
	t.Helper()
	start := time.Now()
	for range 3 {
		if _, err := term.Commit(within(t), coordination.Create("keys/"+coordination.NewNonce(), nil)); err != nil {
			t.Fatalf("Commit while %s: %v", when, err)
		}
	}
	t.Logf("three commits while %s: %v", when, time.Since(start).Round(time.Millisecond))
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
