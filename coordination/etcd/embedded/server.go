package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/lease"
	"go.uber.org/zap"

	"github.com/perennial-io/perennial/coordination/etcd"
	"github.com/perennial-io/perennial/internal/strangers"
)

const (
	firstTry   = 25 * time.Millisecond // in one process, a proposal that takes longer is lost
	claimDelay = 20 * time.Millisecond // what a claim of another member needs
)

// Server is one member of the quorum, running in this process.
type Server struct {
	cfg    Config
	lock   *fileutil.LockedFile // of the data directory
	etcd   *etcdserver.EtcdServer
	peers  *http.Server  // what the other members talk to
	served chan struct{} // closed when peers has ended
	client *clientv3.Client

	closing atomic.Bool
	closed  sync.Once
}

// Start starts this member and returns once it is part of a quorum that answers. While
// the others are not there it waits, and says so in the log; ctx ends the waiting, and means
// nothing to the Server afterwards.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := cfg.awaitName(ctx); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, served: make(chan struct{})}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	if err := s.awaitQuorum(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// run starts etcd's server and then its port. The order saves two seconds at the first
// start of a quorum: a member with an empty directory asks the others whether they know it,
// and would wait in vain for those that listen and do not serve because they ask as well.
func (s *Server) run(ctx context.Context) (err error) {
	listen := s.cfg.listen()
	log := zap.New(&bridge{log: s.cfg.logger(), closing: &s.closing})
	cfg, err := s.cfg.server(log)
	if err != nil {
		return err
	}
	if l, err := net.Listen("tcp", listen); err != nil { // before anything is written
		return cannotListen(listen, err)
	} else if err := l.Close(); err != nil {
		return cannotListen(listen, err)
	}
	if s.lock, err = s.cfg.takeDirectory(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.lock.Close()
		}
	}()
	join, err := s.cfg.admit(ctx, cfg.WALDir())
	if err != nil {
		return err
	}
	if len(join) > 0 {
		cfg.NewCluster = false
		if cfg.InitialPeerURLsMap, err = urlsOf(join); err != nil {
			return err
		}
	}
	if s.etcd, err = etcdserver.NewServer(cfg); err != nil {
		return s.cfg.explain(err)
	}
	s.etcd.Start()
	l, err := transport.NewListenerWithOpts(listen, "http", transport.WithTimeout(rafthttp.ConnReadTimeout, rafthttp.ConnWriteTimeout))
	if err != nil {
		s.etcd.HardStop()
		return cannotListen(listen, err)
	}
	s.peers = &http.Server{
		Handler:           s.peerHandler(etcdhttp.NewPeerHandler(log, s.etcd)),
		ReadHeaderTimeout: rafthttp.ConnReadTimeout,
		ErrorLog:          slog.NewLogLogger(s.cfg.logger().Handler(), slog.LevelDebug),
	}
	watched := strangers.Watch(s.peers, l, func(from net.Addr) {
		s.cfg.logger().Warn("closed a connection to Raft's port", "peer", from, "error", "what it sent is no HTTP request, or its head is too large")
	})
	go func() {
		defer close(s.served)
		_ = s.peers.Serve(watched) // ends with Close
	}()
	s.client = v3client.New(s.etcd)
	return nil
}

func cannotListen(address string, err error) error {
	hint := "the address must be one of this machine's"
	if errors.Is(err, syscall.EADDRINUSE) {
		hint = "the port is in use: does another JobManager run here?"
	}
	return fmt.Errorf("embedded quorum: listen on %s for the other members: %w (%s)", address, err, hint)
}

func (c Config) listen() string {
	if c.Listen != "" {
		return c.Listen
	}
	self, _ := c.self()
	return self.Raft
}

// awaitName returns once this member's own host name resolves: the network may not be up
// yet, and etcd would look for it in its own time.
func (c Config) awaitName(ctx context.Context) error {
	self, _ := c.self()
	host, _, err := net.SplitHostPort(self.Raft)
	if err != nil {
		return fmt.Errorf("embedded quorum: address %q: %w", self.Raft, err)
	}
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		_, err := net.DefaultResolver.LookupHost(ctx, host)
		if err == nil {
			return nil
		}
		c.logger().Warn("embedded quorum: the host name does not resolve; trying again", "host", host, "error", err)
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("embedded quorum: resolve %q: %w (%w)", host, err, ctx.Err())
		}
	}
}

// explain turns etcd's errors into what a person can act upon.
func (c Config) explain(err error) error {
	if strings.Contains(err.Error(), "has already been bootstrapped") {
		return c.lostItsData()
	}
	return fmt.Errorf("embedded quorum: start with the data in %s: %w", c.Dir, err)
}

// awaitQuorum returns once a majority has let this member in.
func (s *Server) awaitQuorum(ctx context.Context) error {
	remind := time.NewTimer(time.Second)
	defer remind.Stop()
	for {
		select {
		case <-s.etcd.ReadyNotify():
			return s.becomeVoter(ctx)
		case <-s.etcd.StopNotify():
			return s.stopped(ctx)
		case <-ctx.Done():
			return fmt.Errorf("embedded quorum: %s: no majority of %s was there: %w", s.cfg.Self, s.cfg.names(), ctx.Err())
		case <-remind.C:
			s.cfg.logger().Warn("embedded quorum: waiting for a majority of the members", "self", s.cfg.Self, "members", s.cfg.names())
			remind.Reset(10 * time.Second)
		}
	}
}

// Store opens a session of this process. Close it before the Server. 0 is the default
// session time-out, 10 seconds.
func (s *Server) Store(ctx context.Context, sessionTimeout time.Duration) (*etcd.Store, error) {
	return etcd.Open(ctx, s.storeConfig(sessionTimeout))
}

func (s *Server) storeConfig(sessionTimeout time.Duration) etcd.Config {
	return etcd.Config{
		Client: s.client, Cluster: s.cfg.Cluster,
		SessionTimeout: sessionTimeout, FirstTry: firstTry,
		Renew: s.renew, ClaimDelay: s.ClaimDelay, Logger: s.cfg.Logger,
	}
}

// renew asks the server itself, which passes it on to Raft's leader.
func (s *Server) renew(ctx context.Context, id clientv3.LeaseID) (time.Duration, error) {
	ttl, err := s.etcd.LeaseRenew(ctx, lease.LeaseID(id))
	if errors.Is(err, lease.ErrLeaseNotFound) {
		return 0, rpctypes.ErrLeaseNotFound
	}
	return time.Duration(ttl) * time.Second, err
}

// Done is closed when the member has stopped: by Close, or because it cannot go on.
func (s *Server) Done() <-chan struct{} { return s.etcd.StopNotify() }

// resignTime bounds a transfer of Raft's leadership: one that takes longer than an election time-out, half a second, has failed.
const resignTime = 500 * time.Millisecond

// End is Close of a member that ends in good order: if it is Raft's leader another one becomes that before, so that nobody
// who reads or writes has to wait for an election.
func (s *Server) End() error {
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		_ = s.etcd.TryTransferLeadershipOnShutdown() // ends with the member; without a successor there is an election
	}()
	late := time.NewTimer(resignTime)
	defer late.Stop()
	select {
	case <-moved:
	case <-late.C:
	}
	err := s.Close()
	<-moved
	return err
}

// Close stops this member; the others go on if they are a majority. If it is Raft's leader, they elect another first.
func (s *Server) Close() error {
	s.closed.Do(func() {
		s.closing.Store(true)
		s.client.Close()
		s.etcd.HardStop() // Stop would look for a successor for as long as six seconds
		s.peers.Close()
		<-s.served
		s.lock.Close()
	})
	return nil
}
