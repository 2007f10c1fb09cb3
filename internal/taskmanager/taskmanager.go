package taskmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/boottime"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// Config is what a TaskManager needs to run.
type Config struct {
	Host     string // name or address under which others reach the data port; "": where it is bound
	Slots    int    // offered to the JobManagers; at least 1
	DataBind string // where the data port listens; "": a free port on loopback
	// WorkDir holds fetched binaries, the output of task processes and what a successor needs
	// to end them. One TaskManager at a time uses it.
	WorkDir string
	Storage *storage.Storage
	Limits  Limits // of all task processes together
	// Lease is how long subtasks run without a leader's renewal, before they stand still until one renews it; 0: for any time.
	Lease time.Duration
	// Clock is that of leases; nil: the host's, which task processes read.
	Clock func() time.Duration
	// Discover sends the RPC addresses of all JobManagers known now, and again at each change,
	// until ctx is done; then it closes the channel.
	Discover func(ctx context.Context) <-chan []string
	// Dial opens connections to JobManagers. nil: by TCP.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Version  string         // of this build, told to the JobManagers
	Logger   *slog.Logger   // nil: slog.Default
	TaskLog  func() rpc.Log // how a task process that is started now logs; nil: as Go does by itself
	Timeouts Timeouts
}

// Timeouts are how long a TaskManager waits for others. Zero means the default.
type Timeouts struct {
	Dial     time.Duration // for a connection to a JobManager; 1s
	Register time.Duration // for the answer to Register; 5s
	Silence  time.Duration // of a leader, after which its connection is dialed again; 5s
	Refused  time.Duration // between two tries at a JobManager that refuses; 2s
	Plan     time.Duration // for a job binary to write its plan; 30s
	Ready    time.Duration // for a task process to build its graph; 30s
	Stop     time.Duration // between asking a task process to end and killing it; 10s
	Leave    time.Duration // the same, when the TaskManager itself ends; 1s
	Preamble time.Duration // for the first bytes of a data connection; 5s
	Process  time.Duration // a data connection waits for its task process to start; 10s
	Lock     time.Duration // for a predecessor on the same WorkDir to end; 5s
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Dial:     cmp.Or(t.Dial, time.Second),
		Register: cmp.Or(t.Register, 5*time.Second),
		Silence:  cmp.Or(t.Silence, 5*time.Second),
		Refused:  cmp.Or(t.Refused, 2*time.Second),
		Plan:     cmp.Or(t.Plan, 30*time.Second),
		Ready:    cmp.Or(t.Ready, 30*time.Second),
		Stop:     cmp.Or(t.Stop, 10*time.Second),
		Leave:    cmp.Or(t.Leave, time.Second),
		Preamble: cmp.Or(t.Preamble, 5*time.Second),
		Process:  cmp.Or(t.Process, 10*time.Second),
		Lock:     cmp.Or(t.Lock, 5*time.Second),
	}
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Slots < 1:
		return c, fmt.Errorf("a TaskManager with %d slots can run nothing; set taskmanager.slots to 1 or more", c.Slots)
	case c.WorkDir == "":
		return c, errors.New("the TaskManager has no work directory")
	case c.Storage == nil || c.Discover == nil:
		return c, errors.New("the TaskManager needs a storage and a way to find JobManagers")
	}
	if c.Clock == nil {
		c.Clock = boottime.Now
	}
	c.DataBind = cmp.Or(c.DataBind, "127.0.0.1:0")
	c.Timeouts = c.Timeouts.withDefaults()
	if c.Dial == nil {
		c.Dial = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// node is what all instances of one TaskManager share.
type node struct {
	cfg       Config
	log       *slog.Logger
	data      string // address of the data port, as others dial it
	work      *workDir
	artifacts *artifacts
	receivers *receivers
	spawner   *spawner
	load      atomic.Pointer[rpc.Load] // as it was measured last; nil: it was not, or cannot be
	profiles  inspect.Profiles
	limiter   *limiter
	cluster   atomic.Pointer[string] // the incarnation, once read; it never changes after that
}

// Run offers slots until ctx ends, or until it was drained. Then it ends its task processes, first politely, says
// Farewell and returns nil, within a second of Timeouts.Leave, unless the system holds a task process that was killed.
// It returns an error when it cannot begin.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	work, err := openWorkDir(ctx, cfg.WorkDir, cfg.Timeouts.Lock, cfg.Logger)
	if err != nil {
		return err
	}
	defer work.close()
	ln, err := net.Listen("tcp", cfg.DataBind)
	if err != nil {
		return cannotListen(err)
	}
	n := &node{
		cfg: cfg, log: cfg.Logger, work: work,
		data:      advertised(cfg.Host, ln.Addr()),
		artifacts: newArtifacts(work.artifacts, cfg.Storage),
		receivers: newReceivers(),
		spawner:   newSpawner(),
		limiter:   newLimiter(cfg.Limits, cfg.Slots, cfg.Logger),
	}
	defer n.limiter.close()
	defer n.spawner.close()
	defer n.profiles.Close()
	warnIfOpen(n.log, ln.Addr())
	port := openDataPort(ln, n.receivers, cfg.Timeouts, n.log)
	defer port.close()

	watching, stop := context.WithCancel(context.Background())
	var watcher sync.WaitGroup
	watcher.Go(func() { n.watchLoad(watching) })
	defer watcher.Wait()
	defer stop()

	var seen coordination.Epoch
	for {
		t := newTable(n, seen)
		if t.replaces, err = work.instances.enter(t.instance); err != nil {
			n.log.Warn("the instance cannot be noted in the work directory: its successor will not be able to say that it has ended", "error", err)
		}
		if declaredDead := t.run(ctx); !declaredDead {
			if err := work.instances.leave(t.instance); err != nil {
				n.log.Warn("the end cannot be noted in the work directory: unless the leader has heard of it, what ran here counts as restarted", "error", err)
			}
			return nil
		}
		seen = t.seen
	}
}

// cannotListen says which keys place the data port elsewhere.
func cannotListen(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("data port of the TaskManager: %w: another process listens there; stop it, or set taskmanager.data.port", err)
	}
	return fmt.Errorf("data port of the TaskManager: %w; taskmanager.bind-host and taskmanager.data.port say where it is", err)
}

// advertised is the address at which others find what listens at addr, a TCP address.
func advertised(host string, addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok, host == "" && !tcp.IP.IsUnspecified():
		return addr.String()
	case host == "":
		host = hostname()
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// hostname is what this machine calls itself.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

func warnIfOpen(log *slog.Logger, addr net.Addr) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("the data port is open to other hosts and asks for no credentials: whoever reaches it can feed records to jobs", "address", addr)
	}
}

// incarnation reads the cluster's incarnation from storage, once. It is "" while no leader
// has made one there.
func (n *node) incarnation(ctx context.Context) (string, error) {
	if c := n.cluster.Load(); c != nil {
		return *c, nil
	}
	c, err := n.cfg.Storage.Incarnation(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the cluster's incarnation: %w", err)
	}
	n.cluster.CompareAndSwap(nil, &c)
	return *n.cluster.Load(), nil
}
