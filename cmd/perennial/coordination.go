package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/etcd"
	"github.com/perennial-io/perennial/coordination/etcd/embedded"
	"github.com/perennial-io/perennial/coordination/local"
	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/jobmanager"
	"github.com/perennial-io/perennial/internal/storage"
)

// opener begins a session with coordination.
type opener func(ctx context.Context) (coordination.Store, error)

// openZooKeeper and openEtcd are for everybody; without high availability, and with the embedded
// quorum, only a JobManager has a session.
func openZooKeeper(c *config.Config, log *slog.Logger) opener {
	return func(ctx context.Context) (coordination.Store, error) {
		return zookeeper.Open(ctx, zooKeeper(c, log))
	}
}

// zooKeeper is what the keys say about the ensemble and the cluster's place on it.
func zooKeeper(c *config.Config, log *slog.Logger) zookeeper.Config {
	z := zookeeper.Config{
		Servers: c.String(config.ZooKeeperQuorum), Root: c.String(config.ZooKeeperRoot), ClusterID: c.String(config.ClusterID),
		Paths: zookeeper.Paths{
			Epoch: c.String(config.ZooKeeperEpoch), Leader: c.String(config.ZooKeeperLeader),
			History: c.String(config.ZooKeeperHistory), Members: c.String(config.ZooKeeperMembers),
		},
		SessionTimeout: c.Duration(config.ZooKeeperSession),
		ACL:            zookeeper.ACL(c.String(config.ZooKeeperACL)), AuthFile: c.String(config.ZooKeeperAuthFile),
		Logger: log,
	}
	if c.String(config.ZooKeeperTLS) == "true" {
		z.TLS = &zookeeper.TLS{
			CA: c.String(config.ZooKeeperTLSCA), Certificate: c.String(config.ZooKeeperTLSCertificate), Key: c.String(config.ZooKeeperTLSKey),
			ServerName: c.String(config.ZooKeeperTLSServerName), AnyName: c.String(config.ZooKeeperTLSCheckNames) == "false",
		}
	}
	return z
}

func openEtcd(c *config.Config, log *slog.Logger) opener {
	return func(ctx context.Context) (coordination.Store, error) {
		return etcd.Open(ctx, etcd.Config{Endpoints: c.List(config.EtcdEndpoints), Cluster: c.String(config.ClusterID), Logger: log})
	}
}

// backing is a JobManager's side of coordination.
type backing struct {
	open       opener
	host       string // this process's, as the others know it
	claimDelay func() time.Duration
	handOver   func(ctx context.Context, answered []string) error
	quorum     jobmanager.Quorum // nil: there is none to change
	ended      <-chan struct{}   // closed when it cannot go on; nil if that never happens
	close      func() error
}

func back(ctx context.Context, c *config.Config, store *storage.Storage, log *slog.Logger) (backing, error) {
	nothing := func() error { return nil }
	switch c.String(config.HighAvailability) {
	case "zookeeper":
		return backing{open: openZooKeeper(c, log), host: c.String(config.JobManagerAddress), close: nothing}, nil
	case "etcd":
		return backing{open: openEtcd(c, log), host: c.String(config.JobManagerAddress), close: nothing}, nil
	case "embedded":
		return backEmbedded(ctx, c, store, log)
	}
	file, err := local.OpenFile(ctx, c.String(config.LocalDir))
	if err != nil {
		return backing{}, err
	}
	return backing{
		open:  func(context.Context) (coordination.Store, error) { return file.Session(), nil },
		host:  c.String(config.JobManagerAddress),
		close: file.Close,
	}, nil
}

// backEmbedded starts this JobManager's member of the quorum, and returns once it answers.
func backEmbedded(ctx context.Context, c *config.Config, store *storage.Storage, log *slog.Logger) (backing, error) {
	used, err := quorumUsed(ctx, store)
	if err != nil {
		return backing{}, err
	}
	masters := c.List(config.JobManagers)
	self, err := selfAmong(masters, c.Int(config.RestPort), ownNames(c))
	if err != nil {
		return backing{}, err
	}
	cfg := embedded.Config{Self: self, Dir: c.String(config.EmbeddedDir), Cluster: c.String(config.ClusterID), Used: used, Logger: log}
	for _, m := range masters {
		raft, err := raftAddress(m)
		if err != nil {
			return backing{}, err
		}
		cfg.Peers = append(cfg.Peers, embedded.Peer{REST: m, Raft: raft})
		if m == self {
			cfg.Listen = raft
		}
	}
	host, _, err := net.SplitHostPort(self) // by this name the quorum knows it
	if err != nil {
		return backing{}, err
	}
	server, err := embedded.Start(ctx, cfg)
	if err != nil {
		return backing{}, err
	}
	return backing{
		open: func(ctx context.Context) (coordination.Store, error) {
			return server.Store(ctx, 0)
		},
		host:       host,
		claimDelay: server.ClaimDelay,
		handOver:   server.MoveLeaderAway,
		quorum:     quorumMembers{server, c.String(config.ClusterID)},
		ended:      server.Done(),
		close:      server.End,
	}, nil
}

// quorumUsed tells whether the cluster of a storage has been led on the embedded quorum: not, while what was exported
// from elsewhere waits for it.
func quorumUsed(ctx context.Context, store *storage.Storage) (bool, error) {
	_, err := store.Incarnation(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the cluster's incarnation: %w", err)
	}
	if _, err = store.Import(ctx); errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// raftOffset is how far a member's Raft port is above its REST port.
const raftOffset = 1000

// raftAddress is the member's Raft port: its REST port and 1000.
func raftAddress(master string) (string, error) {
	host, p, err := net.SplitHostPort(master)
	if err != nil {
		return "", err
	}
	port, err := strconv.Atoi(p)
	if err != nil || port+raftOffset > 65535 {
		return "", usageError{fmt.Errorf("JobManager %s: with the embedded quorum its REST port and 1000 is Raft's port, so it can be 64535 at most", master)}
	}
	return net.JoinHostPort(host, strconv.Itoa(port+raftOffset)), nil
}

// selfAmong finds the entry of this process: its REST port, on a host that has one of our names.
func selfAmong(masters []string, restPort int, names []string) (string, error) {
	var samePort []string
	for _, m := range masters {
		host, port, err := net.SplitHostPort(m)
		if err != nil || port != strconv.Itoa(restPort) {
			continue
		}
		if slices.Contains(names, host) {
			return m, nil
		}
		samePort = append(samePort, m)
	}
	if len(samePort) == 1 {
		return samePort[0], nil
	}
	return "", usageError{fmt.Errorf("this JobManager (rest.port %d, known as %q) is none of the JobManagers %q: set rest.port, or jobmanager.rpc.address to its name in that list",
		restPort, names, masters)}
}

func ownNames(c *config.Config) []string {
	names := []string{c.String(config.JobManagerAddress)}
	if host, err := os.Hostname(); err == nil && !c.IsSet(config.JobManagerAddress) {
		names = append(names, host)
	}
	if addresses, err := net.InterfaceAddrs(); err == nil && !c.IsSet(config.JobManagerAddress) {
		for _, a := range addresses {
			if ip, _, err := net.ParseCIDR(a.String()); err == nil {
				names = append(names, ip.String())
			}
		}
	}
	return names
}

var errQuorumEnded = errors.New("this member of the embedded quorum has stopped and cannot go on; its log says why")
