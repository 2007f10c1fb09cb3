package embedded

import (
	"context"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/coordinationtest"
	"github.com/perennial-io/perennial/coordination/etcd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	h := harness{quorum: startQuorum(t), links: map[coordination.Store]*link{}}
	coordinationtest.Run(t, h.newCluster)
}

// harness is a quorum in which each test has a prefix of its own; sessions are spread
// over its members.
type harness struct {
	quorum *quorum
	links  map[coordination.Store]*link
}

func (h harness) newCluster(*testing.T) coordinationtest.Cluster {
	name, opened := coordination.NewNonce(), 0
	return coordinationtest.Cluster{
		Open: func(t *testing.T) coordination.Store {
			opened++
			return h.open(t, h.quorum.servers[opened%3], name)
		},
		LoseReplies: func(_ *testing.T, s coordination.Store) func() { return h.links[s].set(loseReplies) },
		Cut:         func(_ *testing.T, s coordination.Store) func() { return h.links[s].set(cut) },
		Expire:      h.expire,
		// Members pass renewals of leases on to Raft's leader by HTTP.
		Goroutines: []goleak.Option{
			goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
			goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		},
	}
}

func (h harness) open(t *testing.T, server *Server, cluster string) coordination.Store {
	t.Helper()
	l := &link{}
	cfg := server.storeConfig(3 * time.Second)
	cfg.Cluster = cluster
	cfg.Client = v3client.New(server.etcd)
	cfg.Client.KV = brokenKV{cfg.Client.KV, l}
	t.Cleanup(func() { cfg.Client.Close() })
	s, err := etcd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	h.links[s] = l
	return s
}

// expire ends the lease of a session as if its time had run out.
func (h harness) expire(t *testing.T, s coordination.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := h.quorum.servers[0].client.Revoke(ctx, s.(*etcd.Store).Session()); err != nil {
		t.Fatalf("revoke: %v", err)
	}
}

// fault is what a link does.
type fault int

const (
	none fault = iota
	loseReplies
	cut
)

// link is between a Store and the server in the same process: what Raft does to a proposal
// while its leadership moves, done on purpose.
type link struct {
	mu    sync.Mutex
	fault fault
}

func (l *link) set(f fault) (mend func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fault = none
	}
}

func (l *link) now() fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// pass calls do, unless the link is cut, and lets its result through, unless replies are
// lost: then only the end of ctx is an answer.
func pass[T any](ctx context.Context, l *link, do func() (T, error)) (T, error) {
	var zero T
	if l.now() == cut {
		<-ctx.Done()
		return zero, ctx.Err()
	}
	result, err := do()
	if l.now() == loseReplies {
		<-ctx.Done()
		return zero, ctx.Err()
	}
	return result, err
}

// brokenKV is a client's KV behind a link.
type brokenKV struct {
	clientv3.KV
	link *link
}

func (k brokenKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return pass(ctx, k.link, func() (*clientv3.GetResponse, error) { return k.KV.Get(ctx, key, opts...) })
}

func (k brokenKV) Txn(ctx context.Context) clientv3.Txn {
	return brokenTxn{k.KV.Txn(ctx), ctx, k.link}
}

type brokenTxn struct {
	clientv3.Txn
	ctx  context.Context
	link *link
}

func (x brokenTxn) If(c ...clientv3.Cmp) clientv3.Txn {
	return brokenTxn{x.Txn.If(c...), x.ctx, x.link}
}
func (x brokenTxn) Then(o ...clientv3.Op) clientv3.Txn {
	return brokenTxn{x.Txn.Then(o...), x.ctx, x.link}
}
func (x brokenTxn) Else(o ...clientv3.Op) clientv3.Txn {
	return brokenTxn{x.Txn.Else(o...), x.ctx, x.link}
}
func (x brokenTxn) Commit() (*clientv3.TxnResponse, error) { return pass(x.ctx, x.link, x.Txn.Commit) }
