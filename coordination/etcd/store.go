package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/perennial-io/perennial/coordination"
)

// Config says which etcd, and which cluster in it.
type Config struct {
	// Endpoints are the host:port of an etcd cluster's members. The Store connects to them
	// and closes the connections. Unused when Client is set.
	Endpoints []string

	// DialOptions are used for those connections.
	DialOptions []grpc.DialOption

	// Client is used instead, and stays open when the Store is closed.
	Client *clientv3.Client

	// Cluster is the cluster.id: all keys are under /perennial/<Cluster>/.
	Cluster string

	// SessionTimeout is how long this process is taken for alive after its last sign of
	// life, rounded up to whole seconds. 0: 10 seconds.
	SessionTimeout time.Duration

	// FirstTry is the deadline of a request's first try; it grows from there. 0: 100 ms,
	// which suits a network. In one process 25 ms do.
	FirstTry time.Duration

	// Renew renews a lease once and returns what it was granted, or
	// rpctypes.ErrLeaseNotFound. nil: over the client's connection.
	Renew func(ctx context.Context, id clientv3.LeaseID) (time.Duration, error)

	// ClaimDelay is the answer of Store.ClaimDelay. nil: always 0.
	ClaimDelay func() time.Duration

	// Logger is where the Store says what a person should know. nil: slog.Default.
	Logger *slog.Logger
}

// Store is a session with etcd. It implements coordination.Store.
type Store struct {
	client     *clientv3.Client
	owned      bool // the client is closed with the Store
	keys       keys
	firstTry   time.Duration
	renew      func(context.Context, clientv3.LeaseID) (time.Duration, error)
	claimDelay func() time.Duration
	log        *slog.Logger

	session  context.Context // ends with the session
	end      context.CancelFunc
	lease    clientv3.LeaseID
	interval time.Duration // between renewals
	opened   time.Time
	expires  atomic.Int64 // time.Duration since opened
	expired  atomic.Bool  // etcd has said that the lease is gone

	seen atomic.Pointer[sighting] // the epoch that was read last: a hint, as claims compare it

	mu         sync.Mutex // guards closing against new goroutines
	closing    bool
	goroutines sync.WaitGroup
	closed     sync.Once
	closeErr   error
}

// Open opens a session. It keeps trying while etcd does not answer, says so in the log,
// and gives up when ctx ends.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Cluster == "" || strings.Contains(cfg.Cluster, "/") {
		return nil, fmt.Errorf("etcd: cluster id %q: want a name without slashes", cfg.Cluster)
	}
	s := &Store{
		client: cfg.Client, keys: keysOf(cfg.Cluster), opened: time.Now(),
		firstTry: orElse(cfg.FirstTry, 100*time.Millisecond),
		renew:    cfg.Renew, claimDelay: cfg.ClaimDelay, log: cfg.Logger,
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.client == nil {
		client, err := dial(cfg.Endpoints, cfg.DialOptions)
		if err != nil {
			return nil, err
		}
		s.client, s.owned = client, true
	}
	if s.renew == nil {
		s.renew = renewOver(s.client)
	}
	s.session, s.end = context.WithCancel(context.Background())
	if err := s.grant(ctx, orElse(cfg.SessionTimeout, 10*time.Second)); err != nil {
		s.end()
		return nil, errors.Join(err, s.hangUp())
	}
	s.goroutines.Go(s.keep)
	return s, nil
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// redial is how often a server that does not answer is dialed. By default the pause grows to two
// minutes: so long after an outage nobody would find out that etcd is back.
var redial = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 250 * time.Millisecond},
	MinConnectTimeout: 2 * time.Second,
}

// dial prepares a client; connections are made when they are needed.
func dial(endpoints []string, options []grpc.DialOption) (*clientv3.Client, error) {
	if len(endpoints) == 0 {
		return nil, errors.New(`etcd: no endpoints: set etcd.endpoints to "host:port,…"`)
	}
	for _, e := range endpoints {
		if err := checkEndpoint(e); err != nil {
			return nil, err
		}
	}
	return clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		DialOptions: append([]grpc.DialOption{grpc.WithConnectParams(redial)}, options...),
		// A frozen server is noticed by the deadline of each try; a watch has none and
		// needs these. Servers end connections that ask more often than every 5 s.
		DialKeepAliveTime:    6 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Logger:               zap.NewNop(), // every failed try would be a line
	})
}

func checkEndpoint(endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || host == "" {
		return fmt.Errorf("etcd: endpoint %q: want host:port, such as localhost:2379", endpoint)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("etcd: endpoint %q: the port is no number from 1 to 65535", endpoint)
	}
	return nil
}

// Leader implements coordination.Store.
func (s *Store) Leader(ctx context.Context) (coordination.Leadership, error) {
	seen, alive, err := s.look(ctx)
	if err != nil {
		return coordination.Leadership{}, err
	}
	return seen.leadership(alive), nil
}

// look reads the epoch, and whether its leader is alive, from the quorum.
func (s *Store) look(ctx context.Context) (seen sighting, alive bool, err error) {
	resp, err := s.ask(ctx, "read the epoch", clientv3.OpGet(s.keys.epoch()), clientv3.OpGet(s.keys.leader()))
	if err != nil {
		return sighting{}, false, err
	}
	seen, err = s.see(first(resp, 0))
	return seen, first(resp, 1) != nil, err
}

// see decodes the epoch key and remembers it.
func (s *Store) see(kv *mvccpb.KeyValue) (sighting, error) {
	seen, err := decode(kv)
	if err != nil {
		return sighting{}, fmt.Errorf("etcd: %w", err)
	}
	s.seen.Store(&seen)
	return seen, nil
}

// first is the first key that the i-th read of a transaction found, or nil.
func first(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// ClaimDelay is how long this process should hold back before it claims, so that another
// that is better placed comes first: some milliseconds where this process is the leader of
// an embedded quorum's Raft, else 0.
func (s *Store) ClaimDelay() time.Duration {
	if s.claimDelay == nil {
		return 0
	}
	return s.claimDelay()
}

// Session is the lease of this session, as etcdctl's "lease list" shows it.
func (s *Store) Session() clientv3.LeaseID { return s.lease }

// Done implements coordination.Store.
func (s *Store) Done() <-chan struct{} { return s.session.Done() }

// Close implements coordination.Store. It takes up to half a second when etcd does not answer.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.end()
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.goroutines.Wait()
		if !s.expired.Load() {
			s.closeErr = s.revoke()
		}
		s.closeErr = errors.Join(s.closeErr, s.hangUp())
	})
	return s.closeErr
}

// hangUp closes the connections, if they are the Store's own.
func (s *Store) hangUp() error {
	if !s.owned {
		return nil
	}
	if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("etcd: close connections: %w", err)
	}
	return nil
}

// spawn runs f in a goroutine that Close waits for, unless the Store is closing.
func (s *Store) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.goroutines.Go(f)
	return true
}
