package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3compactor"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"
)

// Peer is one member of the quorum, as all of them know it.
type Peer struct {
	REST string // host:port of the JobManager's API: the member's name
	Raft string // host:port at which the other members reach it
}

// Config says which member of which quorum to start.
type Config struct {
	// Self is the REST address of this member's Peer.
	Self string

	// Peers are all members, this one included: three or five, the same on each.
	Peers []Peer

	// Dir is this member's own directory on a local disk. It is made if it is not there.
	Dir string

	// Listen is the host:port to listen on for the other members. "": this member's Raft
	// address. Whoever reaches it can write: Raft's port has no authentication.
	Listen string

	// Cluster is the cluster.id. Members of another cluster are refused.
	Cluster string

	// Used says that the cluster has been led before, by what is known elsewhere (its storage).
	// A member whose Dir is empty then waits for another member, which knows whether it is
	// new, or has lost its data and is refused.
	Used bool

	// Logger gets etcd's warnings and errors. nil: slog.Default.
	Logger *slog.Logger
}

const (
	heartbeatMillis = 50  // shorter ones halve nothing in a takeover …
	electionMillis  = 500 // … and gave false elections under load

	// Metadata is small; what is kept of it is kept small too.
	quotaBytes       = 256 << 20
	walSegmentBytes  = 16 << 20         // of disk, allocated at once, two at the start
	snapshotEvery    = 2000             // log entries held in memory …
	snapshotLag      = 500              // … and of them after a snapshot, for members that lag
	keepFiles        = 5                // old snapshots and log segments
	compactionWindow = 10 * time.Minute // for so long a watch that was interrupted can go on
	maxOpsPerTxn     = 1024
	maxRequestBytes  = 1536 << 10 // twice coordination.MaxValue in JSON, and its names
)

func init() { wal.SegmentSizeBytes = walSegmentBytes } // etcd has no other way to say it

// self is this member's Peer.
func (c Config) self() (Peer, bool) {
	for _, p := range c.Peers {
		if p.REST == c.Self {
			return p, true
		}
	}
	return Peer{}, false
}

// check refuses what etcd would accept and fail with, or would explain in its own words.
func (c Config) check() error {
	switch n := len(c.Peers); {
	case n == 3 || n == 5:
	case n < 3:
		return fmt.Errorf("embedded quorum: %d JobManagers are configured (%s): it takes 3 or 5, as a majority must be up when one is lost; list more, or use high-availability: none", n, c.names())
	case n%2 == 0:
		return fmt.Errorf("embedded quorum: %d JobManagers are configured (%s): an even number survives no more losses than one fewer; list 3 or 5", n, c.names())
	default:
		return fmt.Errorf("embedded quorum: %d JobManagers are configured (%s): each write waits for a majority of them; list 3 or 5", n, c.names())
	}
	seen := map[string]bool{}
	for _, p := range c.Peers {
		for _, address := range []string{p.REST, p.Raft} {
			if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" || port == "0" {
				return fmt.Errorf("embedded quorum: address %q of member %q: want host:port with a fixed port", address, p.REST)
			}
			if seen[address] {
				return fmt.Errorf("embedded quorum: the address %s is there twice: each member needs its own for REST and for Raft", address)
			}
			seen[address] = true
		}
	}
	if _, ok := c.self(); !ok {
		return fmt.Errorf("embedded quorum: this JobManager, %q, is none of the configured ones (%s)", c.Self, c.names())
	}
	if c.Dir == "" || c.Cluster == "" {
		return errors.New("embedded quorum: a data directory and a cluster id are needed")
	}
	return nil
}

func (c Config) names() string {
	names := make([]string, len(c.Peers))
	for i, p := range c.Peers {
		names[i] = p.REST
	}
	return strings.Join(names, ", ")
}

// server is etcd's configuration. What is not named is off.
func (c Config) server(log *zap.Logger) (config.ServerConfig, error) {
	self, _ := c.self()
	peers, err := urlsOf(c.Peers)
	if err != nil {
		return config.ServerConfig{}, err
	}
	return config.ServerConfig{
		Name: self.REST, DataDir: c.Dir, Logger: log,
		NewCluster: true, InitialClusterToken: c.Cluster, InitialPeerURLsMap: peers, PeerURLs: peers[self.REST],
		// There is no port for clients. But a member that has announced some address is
		// known to have voted, and is not let in again with an empty directory.
		ClientURLs: types.URLs{httpURL(self.REST)},

		TickMs: heartbeatMillis, ElectionTicks: electionMillis / heartbeatMillis,
		InitialElectionTickAdvance: true, PreVote: true, StrictReconfigCheck: true, MaxLearners: 1,

		SnapshotCount: snapshotEvery, SnapshotCatchUpEntries: snapshotLag,
		MaxSnapFiles: keepFiles, MaxWALFiles: keepFiles, QuotaBackendBytes: quotaBytes,
		AutoCompactionMode: v3compactor.ModePeriodic, AutoCompactionRetention: compactionWindow,
		MaxTxnOps: maxOpsPerTxn, MaxRequestBytes: maxRequestBytes,

		WarningApplyDuration: 100 * time.Millisecond, WarningUnaryRequestDuration: 300 * time.Millisecond,
		DowngradeCheckTime: 5 * time.Second, CompactHashCheckTime: time.Minute,
		V2Deprecation:     config.V2DeprDefault,
		BcryptCost:        uint(bcrypt.DefaultCost), // of passwords that nobody has; 0 is complained of
		ServerFeatureGate: features.NewDefaultServerFeatureGate(self.REST, log),
	}, nil
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.Default()
	}
	return c.Logger
}

// urlsOf is members in etcd's notation.
func urlsOf(peers []Peer) (types.URLsMap, error) {
	members := make([]string, len(peers))
	for i, p := range peers {
		u := httpURL(p.Raft)
		members[i] = p.REST + "=" + u.String()
	}
	urls, err := types.NewURLsMap(strings.Join(members, ","))
	if err != nil {
		return nil, fmt.Errorf("embedded quorum: addresses of the members: %w", err)
	}
	return urls, nil
}

func httpURL(address string) url.URL { return url.URL{Scheme: "http", Host: address} }
