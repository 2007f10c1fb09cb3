package zookeeper_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/coordinationtest"
	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/internal/testensemble"
)

func TestConformance(t *testing.T) {
	coordinationtest.Run(t, newCluster)
}

// newCluster is a fresh cluster id on the shared ensemble, each Store behind its own proxy.
func newCluster(t *testing.T) coordinationtest.Cluster {
	return clusterBehind(coordination.NewNonce(), func(t *testing.T, cfg zookeeper.Config) (*testensemble.Proxy, zookeeper.Config) {
		p := testensemble.NewProxy(t, ensemble.Connect())
		cfg.Servers = p.Addresses()
		return p, cfg
	})
}

// clusterBehind is a cluster each Store of which has a proxy of its own, and what complete says.
func clusterBehind(id string, complete func(*testing.T, zookeeper.Config) (*testensemble.Proxy, zookeeper.Config)) coordinationtest.Cluster {
	var mu sync.Mutex
	proxies := make(map[coordination.Store]*testensemble.Proxy)
	of := func(s coordination.Store) *testensemble.Proxy {
		mu.Lock()
		defer mu.Unlock()
		return proxies[s]
	}
	return coordinationtest.Cluster{
		Open: func(t *testing.T) coordination.Store {
			p, cfg := complete(t, zookeeper.Config{ClusterID: id, SessionTimeout: 10 * time.Second})
			s := openWith(t, cfg)
			mu.Lock()
			defer mu.Unlock()
			proxies[s] = p
			return s
		},
		LoseReplies: func(t *testing.T, s coordination.Store) func() {
			restore := of(s).LoseReplies()
			t.Cleanup(restore)
			return restore
		},
		Cut: func(t *testing.T, s coordination.Store) func() {
			of(s).Cut()
			return of(s).Heal
		},
		Expire: func(t *testing.T, s coordination.Store) { of(s).Expire() },
		Goroutines: []goleak.Option{
			goleak.IgnoreAnyFunction("github.com/perennial-io/perennial/internal/testensemble.(*Proxy).accept"),
			goleak.IgnoreAnyFunction("github.com/perennial-io/perennial/internal/testensemble.(*Proxy).forward"),
			goleak.IgnoreAnyFunction("github.com/perennial-io/perennial/internal/testensemble.(*Proxy).back"),
		},
	}
}

// open returns a Store of the cluster that is closed with the test at the latest.
func open(t *testing.T, servers, id string, timeout time.Duration) coordination.Store {
	t.Helper()
	return openWith(t, zookeeper.Config{Servers: servers, ClusterID: id, SessionTimeout: timeout})
}

// openWith is open with a configuration, which gets a logger.
func openWith(t *testing.T, cfg zookeeper.Config) coordination.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cfg.Logger = logger(t)
	s, err := zookeeper.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// logger writes to the test's output, where it is shown with a failure.
func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
