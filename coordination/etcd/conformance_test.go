package etcd_test

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/coordinationtest"
	"github.com/perennial-io/perennial/coordination/etcd"
	"github.com/perennial-io/perennial/internal/testetcd"
)

func TestMain(m *testing.M) {
	testetcd.Serve()
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	h := harness{servers: testetcd.Start(t, 3), links: map[coordination.Store]*link{}}
	coordinationtest.Run(t, h.newCluster)
}

// harness is a cluster of three real servers, in which each test has a prefix of its own.
type harness struct {
	servers *testetcd.Cluster
	links   map[coordination.Store]*link
}

func (h harness) newCluster(t *testing.T) coordinationtest.Cluster {
	name := coordination.NewNonce()
	return coordinationtest.Cluster{
		Open:        func(t *testing.T) coordination.Store { return h.open(t, name) },
		LoseReplies: func(t *testing.T, s coordination.Store) func() { return h.links[s].fail(true, false) },
		Cut:         func(t *testing.T, s coordination.Store) func() { return h.links[s].fail(false, true) },
		Expire:      func(t *testing.T, s coordination.Store) { h.expire(t, s.(*etcd.Store)) },
	}
}

func (h harness) open(t *testing.T, cluster string) coordination.Store {
	l := newLink()
	s, err := etcd.Open(t.Context(), etcd.Config{
		Endpoints: h.servers.Endpoints(), DialOptions: l.dialing(), Cluster: cluster, SessionTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	h.links[s] = l
	return s
}

// expire ends the lease of a session as if its time had run out.
func (h harness) expire(t *testing.T, s *etcd.Store) {
	t.Helper()
	admin, err := clientv3.New(clientv3.Config{Endpoints: h.servers.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := admin.Revoke(ctx, s.Session()); err != nil {
		t.Fatalf("revoke: %v", err)
	}
}
