package embedded

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
)

func TestConfigRefused(t *testing.T) {
	peers := func(n int) []Peer {
		all := []Peer{{"a:1", "a:2"}, {"b:1", "b:2"}, {"c:1", "c:2"}, {"d:1", "d:2"}, {"e:1", "e:2"}, {"f:1", "f:2"}, {"g:1", "g:2"}}
		return all[:n:n]
	}
	for _, test := range []struct {
		name  string
		alter func(*Config)
		want  string // "": accepted
	}{
		{"three", func(*Config) {}, ""},
		{"five", func(c *Config) { c.Peers = peers(5) }, ""},
		{"none", func(c *Config) { c.Peers = nil }, "0 JobManagers are configured"},
		{"one", func(c *Config) { c.Peers = peers(1) }, "it takes 3 or 5"},
		{"two", func(c *Config) { c.Peers = peers(2) }, "2 JobManagers are configured (a:1, b:1)"},
		{"four", func(c *Config) { c.Peers = peers(4) }, "an even number survives no more losses"},
		{"seven", func(c *Config) { c.Peers = peers(7) }, "list 3 or 5"},
		{"no port", func(c *Config) { c.Peers[1].Raft = "b" }, `"b" of member "b:1"`},
		{"port 0", func(c *Config) { c.Peers[1].Raft = "b:0" }, "fixed port"},
		{"twice", func(c *Config) { c.Peers[1].REST = "a:1" }, "a:1 is there twice"},
		{"a stranger", func(c *Config) { c.Self = "x:1" }, `"x:1", is none of the configured ones`},
		{"no directory", func(c *Config) { c.Dir = "" }, "data directory"},
	} {
		cfg := Config{Self: "a:1", Peers: peers(3), Dir: "d", Cluster: "c"}
		test.alter(&cfg)
		switch err := cfg.check(); {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

func TestStartOnPortInUse(t *testing.T) {
	t.Parallel()
	cfg := configsOf(t, 3)[0]
	l, err := net.Listen("tcp", cfg.Peers[0].Raft)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(within(t), cfg)
	if err == nil || !strings.Contains(err.Error(), "the port is in use") || !strings.Contains(err.Error(), cfg.Peers[0].Raft) {
		t.Errorf("error %v, want one that names the port", err)
	}
}

// TestStartInDirectoryOfAnother: one that is in use, and one with another member's votes.
func TestStartInDirectoryOfAnother(t *testing.T) {
	t.Parallel()
	configs := configsOf(t, 3)
	lock, err := configs[0].takeDirectory(within(t))
	if err != nil {
		t.Fatal(err)
	}
	second := configs[1]
	second.Dir = configs[0].Dir
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, second); err == nil || !strings.Contains(err.Error(), "another JobManager uses the data directory") {
		t.Errorf("in a directory that is in use: error %v", err)
	}
	lock.Close()
	if _, err := Start(within(t), second); err == nil || !strings.Contains(err.Error(), "is that of JobManager "+configs[0].Self) {
		t.Errorf("in another member's directory: error %v", err)
	}
	if lock, err = configs[0].takeDirectory(within(t)); err != nil {
		t.Errorf("in its own again: %v", err)
	} else {
		lock.Close()
	}
}

// TestStartAloneWaits: a member whose peers are down neither serves nor hangs.
func TestStartAloneWaits(t *testing.T) {
	t.Parallel()
	cfg := configsOf(t, 3)[0]
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, cfg)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no majority of") {
		t.Errorf("error %v, want the end of the context and the reason", err)
	}
}

// TestMembersComeAndGo: the loss of a member that is not Raft's leader does not stop writes, and
// after its return it has what it missed.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	follower := (q.leader() + 1) % 3
	serving := (q.leader() + 2) % 3
	_, term := q.lead(serving)
	write(t, term)
	q.stop(follower)
	for range 20 {
		write(t, term)
	}
	q.restart(follower)
	s, err := q.servers[follower].Store(within(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entries, err := claim(t, s).List(within(t), "keys/")
	if err != nil || len(entries) != 21 {
		t.Errorf("over the member that was away the next leader sees %d writes (%v), want 21", len(entries), err)
	}
}

func TestRaftLeaderLost(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	leader := q.leader()
	_, term := q.lead((leader + 1) % 3)
	write(t, term)
	gone := time.Now()
	q.stop(leader)
	write(t, term)
	t.Logf("Raft's leader stopped (which takes etcd a moment) → the next commit: %v", time.Since(gone).Round(time.Millisecond))
	if now := q.leader(); now == leader {
		t.Errorf("member %d is stopped and leads", leader)
	}
}

// TestQuorumLost: without a majority a commit's outcome stays unknown, and with one again
// the same term goes on.
func TestQuorumLost(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	survivor := q.leader()
	_, term := q.lead(survivor)
	write(t, term)
	var both sync.WaitGroup
	both.Go(func() { q.stop((survivor + 1) % 3) })
	both.Go(func() { q.stop((survivor + 2) % 3) })
	both.Wait()

	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := term.Commit(short, coordination.Create("in the dark", nil))
	if !errors.Is(err, coordination.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit without a majority: %v, want an unknown outcome at the deadline", err)
	}
	short, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := term.Check(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Check without a majority: %v, want the deadline", err)
	}

	q.restart((survivor + 1) % 3)
	back := time.Now()
	write(t, term)
	t.Logf("majority back → next commit: %v", time.Since(back).Round(time.Millisecond))
	if _, err := term.Get(within(t), "in the dark"); err != nil && !errors.Is(err, coordination.ErrNotFound) {
		t.Errorf("Get of what was committed in the dark: %v", err)
	}
}

// TestAllRestart: epoch and values are on disk.
func TestAllRestart(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	_, term := q.lead(0)
	write(t, term)
	q.stopAll()
	var wg sync.WaitGroup
	for i := range q.servers {
		wg.Go(func() { q.restart(i) })
	}
	wg.Wait()
	_, next := q.lead(1)
	entries, err := next.List(within(t), "keys/")
	if next.Epoch() != term.Epoch()+1 || err != nil || len(entries) != 1 {
		t.Errorf("after all members restarted the next claim has epoch %d and sees %d writes (%v), want epoch %d and 1",
			next.Epoch(), len(entries), err, term.Epoch()+1)
	}
}

// TestEmptyDirectoryRefused: under its old identity such a member could vote twice.
func TestEmptyDirectoryRefused(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	q.stop(2)
	if err := os.RemoveAll(q.configs[2].Dir); err != nil {
		t.Fatal(err)
	}
	s, err := Start(within(t), q.configs[2])
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("error %v, want one that says that the data is gone", err)
	}
}

func TestMoveLeaderAway(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	leader := q.leader()
	a, b := (leader+1)%3, (leader+2)%3
	name := func(i int) string { return q.configs[i].Self }
	move := func(from int, answered ...string) {
		t.Helper()
		if err := q.servers[from].MoveLeaderAway(within(t), answered); err != nil {
			t.Fatalf("MoveLeaderAway on member %d: %v", from, err)
		}
	}
	move(leader, name(a))
	if now := q.leader(); now != a {
		t.Fatalf("moved away from Raft's leader to %d, but %d leads", a, now)
	}
	if q.servers[a].ClaimDelay() == 0 || q.servers[b].ClaimDelay() != 0 {
		t.Error("Raft's leader should hold back its claim, and only that member")
	}
	move(b, name(leader)) // a follower asks: the leader is not among those that answer it
	if now := q.leader(); now != leader {
		t.Fatalf("a follower moved leadership to %d, but %d leads", leader, now)
	}
	move(b, name(a), name(leader)) // nothing to do
	if now := q.leader(); now != leader {
		t.Fatalf("leadership moved to %d, although Raft's leader was another member that answers", now)
	}
	err := q.servers[leader].MoveLeaderAway(within(t), []string{name(leader), "stranger:1"})
	if err == nil || !strings.Contains(err.Error(), "stranger:1") {
		t.Errorf("MoveLeaderAway to nobody: %v, want an error that names who was offered", err)
	}
	_, term := q.lead(b)
	write(t, term)
}

// TestNameDoesNotResolve: Start waits for the network, and can be stopped.
// TestEnd: a member that ends in good order leaves Raft's leadership to another, one that is alone or no leader just ends.
func TestEnd(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	leader := q.leader()
	end := func(i int) *Server {
		s := q.servers[i]
		q.servers[i] = nil
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if end(leader).RaftLeader() {
		t.Error("a member ended as Raft's leader")
	}
	next := q.leader()
	_, term := q.lead(next)
	write(t, term)
	end(3 - leader - next)
	end(next) // nobody is there to succeed it
}

func TestNameDoesNotResolve(t *testing.T) {
	t.Parallel()
	cfg := configsOf(t, 3)[0]
	cfg.Peers[0].Raft = "no-such-host.invalid:9081"
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, cfg)
	if err == nil || !strings.Contains(err.Error(), `resolve "no-such-host.invalid"`) {
		t.Errorf("error %v, want one that names the host", err)
	}
}
