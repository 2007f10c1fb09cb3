package jobmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/inspect"
)

// goodbye is how long a JobManager that ends waits for the API's answers that are under way,
// and for its resignation.
const goodbye = time.Second

// JobManager is one process's part in a cluster. Its methods are what the API is made of; they
// may be called from several goroutines.
type JobManager struct {
	cfg   Config
	log   *slog.Logger
	self  api.JobManager // as others are told
	began time.Time

	incarnation atomic.Pointer[string] // of the cluster; nil until known
	connections *connections
	refusals    refusals
	known       atomic.Pointer[coordination.Leadership] // as last observed
	members     atomic.Pointer[[]coordination.Member]   // likewise
	vacancies   vacancies
	leading     atomic.Pointer[leader] // nil: this process stands by
	serving     atomic.Pointer[leader] // nil: the API is not answered here
	history     history
	takeover    atomic.Pointer[api.Takeover] // the latest
	standingBy  atomic.Pointer[time.Time]    // since when, or since when last
	detector    detector
	shelf       *shelf
	counts      counts
	inspections inspections
	profiles    inspect.Profiles
}

// Run takes part in the cluster until ctx ends, then resigns and returns nil. Before that it
// returns an error when it cannot begin, such as a port in use, or a *WrongClusterError.
// Every goroutine has ended when it returns.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	rpcListener, err := cfg.bind("RPC", cfg.RPCBind, "jobmanager.bind-host", "jobmanager.rpc.port")
	if err != nil {
		return err
	}
	restListener, err := cfg.bind("API", cfg.RESTBind, "rest.bind-host", "rest.port")
	if err != nil {
		return errors.Join(err, rpcListener.Close())
	}
	jm := newJobManager(cfg, rpcListener.Addr(), restListener.Addr())
	if cfg.Listening != nil {
		cfg.Listening(jm.self.Address, jm.self.REST)
	}
	return jm.run(ctx, rpcListener, restListener)
}

// bind listens on a port, or says which keys place it elsewhere.
func (c *Config) bind(name, address, hostKey, portKey string) (net.Listener, error) {
	ln, err := c.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s port of the JobManager: %w: another process listens there; stop it, or set %s", name, err, portKey)
	case err != nil:
		return nil, fmt.Errorf("%s port of the JobManager: %w; %s and %s say where it is", name, err, hostKey, portKey)
	}
	return ln, nil
}

func newJobManager(cfg Config, rpcAddr, restAddr net.Addr) *JobManager {
	host, err := os.Hostname()
	if err != nil {
		host = cfg.Host
	}
	jm := &JobManager{
		cfg: cfg, log: cfg.Logger, began: time.Now(), connections: newConnections(), shelf: newShelf(cfg.Storage, cfg.Logger),
		self: api.JobManager{
			ID: cfg.ID, Address: advertised(cfg.Host, rpcAddr), REST: advertised(cfg.Host, restAddr),
			Role: "standby", Since: time.Now().UTC(), PID: os.Getpid(), Host: host, Version: cfg.Version,
		},
	}
	jm.standingBy.Store(&jm.self.Since)
	jm.detector.JobManager = jm
	return jm
}

// run owns the goroutines. The listeners end after the election, so that a leader that resigns
// can still say so.
func (jm *JobManager) run(ctx context.Context, rpcListener, restListener net.Listener) error {
	listening, stopListening := context.WithCancel(context.WithoutCancel(ctx))
	defer stopListening()
	defer jm.profiles.Close()
	var wg sync.WaitGroup
	wg.Go(func() { jm.listen(listening, rpcListener) })
	wg.Go(func() { jm.serveAPI(listening, restListener) })
	wg.Go(func() { jm.shelf.run(listening) })
	jm.log.Info("JobManager is up", "rpc", jm.self.Address, "rest", jm.self.REST, "pid", jm.self.PID)

	err := jm.takeIn(ctx)
	if err == nil {
		err = jm.learnServed(ctx)
	}
	if err == nil {
		electing, stop := jm.untilSucceeded(ctx)
		err = jm.elect(electing)
		stop()
	}
	stopListening()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// describe is what the others read about this process, in coordination. Its role is where it is written, and changes.
func (jm *JobManager) describe() []byte {
	self := jm.self
	self.Role = ""
	b, err := json.Marshal(self)
	if err != nil {
		panic(err) // strings, numbers and a time
	}
	return b
}

// advertised is the address at which others find what listens at addr.
func advertised(host string, addr net.Addr) string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return net.JoinHostPort(host, port)
}
