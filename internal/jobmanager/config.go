package jobmanager

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/boottime"
	"github.com/perennial-io/perennial/internal/restart"
	"github.com/perennial-io/perennial/internal/storage"
)

// Config is what a JobManager needs to run.
type Config struct {
	ID string // among the JobManagers of the cluster, new at each start; "": made here
	// Open begins a session with coordination. It is called again when a session has ended.
	Open    func(ctx context.Context) (coordination.Store, error)
	Storage *storage.Storage

	Host     string // name or address under which others reach this process; "": localhost
	RPCBind  string // host:port where TaskManagers and JobManagers connect; "": a free port on loopback
	RESTBind string // host:port of the API; "": a free port on loopback
	// API serves the JobManager over HTTP: rest.Handler, which this package cannot see.
	// nil: no API.
	API func(*JobManager) http.Handler

	// Dial opens connections to JobManagers and TaskManagers. nil: by TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	HeartbeatInterval  time.Duration // between heartbeats of the leader; 100ms
	HeartbeatTimeout   time.Duration // silence of the leader after which a standby takes over; 500ms
	TaskManagerTimeout time.Duration // silence after which a TaskManager is declared dead; 5s
	// Pace changes the three while the JobManager runs. nil: they stay.
	Pace *Pace

	Checkpoints Checkpoints
	Restart     restart.Strategy
	Retention   Retention

	// ClaimDelay is how long to hold back before a claim, for another that is better placed.
	// nil: not at all.
	ClaimDelay func() time.Duration
	// HandOver moves what else would die with this process (Raft's leadership of an embedded
	// quorum) to one of the standbys that have answered within the heartbeat timeout, by their
	// REST addresses. It is called while this process leads, at each change of them and every
	// second, with half a second of time. nil: there is nothing to move.
	HandOver func(ctx context.Context, answered []string) error
	// Quorum is the quorum that the JobManagers form, to tell about and to change. nil: they form none.
	Quorum Quorum
	// Listening is told both addresses once they are bound. nil: nobody is told.
	Listening func(rpc, rest string)

	// Clock is that of leases; nil: the host's, which goes on while it is suspended.
	Clock func() time.Duration

	Version string
	Logger  *slog.Logger // nil: slog.Default
}

func (c Config) withDefaults() (_ Config, err error) {
	switch {
	case c.Open == nil:
		return c, errors.New("the JobManager has no coordination")
	case c.Storage == nil:
		return c, errors.New("the JobManager has no storage")
	}
	c.ID = cmp.Or(c.ID, "jm-"+strings.ToLower(rand.Text()[:12]))
	c.Host = cmp.Or(c.Host, "localhost")
	c.RPCBind = cmp.Or(c.RPCBind, "127.0.0.1:0")
	c.RESTBind = cmp.Or(c.RESTBind, "127.0.0.1:0")
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, 100*time.Millisecond)
	c.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, 500*time.Millisecond)
	c.TaskManagerTimeout = cmp.Or(c.TaskManagerTimeout, 5*time.Second)
	if c.Pace == nil {
		c.Pace = new(Pace)
	}
	if err := c.Pace.Set(Heartbeats{c.HeartbeatInterval, c.HeartbeatTimeout, c.TaskManagerTimeout}); err != nil {
		return c, err
	}
	if c.Checkpoints, err = c.Checkpoints.withDefaults(); err != nil {
		return c, err
	}
	if err := errors.Join(c.Restart.Validate(), c.Retention.validate()); err != nil {
		return c, err
	}
	if c.Clock == nil {
		c.Clock = boottime.Now
	}
	if c.ClaimDelay == nil {
		c.ClaimDelay = func() time.Duration { return 0 }
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("jobmanager", c.ID)
	return c, nil
}
