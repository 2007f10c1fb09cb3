package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/internal/build"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
	"github.com/perennial-io/perennial/internal/discovery"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/taskmanager"
)

func taskManagerCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "taskmanager", Short: "Run a TaskManager in the foreground", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			log := newLogger(c, os.Stderr)
			r := reloader{load: g.load, started: c, now: c, log: log, take: func(*config.Config) error { return nil }}
			defer r.run(cmd.Context())()
			defer endInTime(cmd.Context(), log.Logger)()
			return runTaskManager(cmd.Context(), c, log)
		},
	}
	cmd.AddCommand(drainCommand(g))
	return cmd
}

func runTaskManager(ctx context.Context, c *config.Config, log logging) error {
	warnOpen(log.Logger, c, config.TaskManagerBind)
	store, err := openStorage(ctx, c)
	if err != nil {
		return err
	}
	log.Info("perennial taskmanager", "version", build.Version, "pid", os.Getpid(), "slots", c.Int(config.TaskManagerSlots), "storage", store.Dir())
	defer log.Info("perennial taskmanager has ended", "pid", os.Getpid())
	find := discovery.Addresses(discover(c, log.Logger))
	return taskmanager.Run(ctx, taskmanager.Config{
		Host:     c.String(config.TaskManagerHost),
		Slots:    c.Int(config.TaskManagerSlots),
		DataBind: net.JoinHostPort(c.String(config.TaskManagerBind), c.String(config.TaskManagerPort)),
		WorkDir:  c.String(config.TaskManagerDir),
		Storage:  store,
		Limits:   limits(c),
		Lease:    lease(c),
		Discover: func(ctx context.Context) <-chan []string {
			daemon.Ready() // its port is bound
			return find(ctx)
		},
		Version: build.Version,
		Logger:  log.Logger,
		TaskLog: func() rpc.Log { return rpc.Log{Level: log.level.Level(), Format: log.format} },
	})
}

// lease is how long tasks run without a leader; 0: for any time.
func lease(c *config.Config) time.Duration {
	if c.String(config.TaskManagerIsolated) == "run" {
		return 0
	}
	return c.Duration(config.TaskManagerLease)
}

// limits are what task processes may take: what is configured, and else what is here.
func limits(c *config.Config) taskmanager.Limits {
	by := c.String(config.TaskManagerLimits)
	if by == "none" {
		return taskmanager.Limits{}
	}
	l := taskmanager.Available()
	l.Cgroups = by == "cgroup"
	if c.IsSet(config.TaskManagerMemory) {
		l.Memory = c.Bytes(config.TaskManagerMemory)
	}
	if c.IsSet(config.TaskManagerCPUs) {
		l.CPUs = c.Int(config.TaskManagerCPUs)
	}
	return l
}

// pollInterval is how often JobManagers are looked for by their REST ports.
const pollInterval = 200 * time.Millisecond

func discover(c *config.Config, log *slog.Logger) discovery.Discovery {
	switch c.String(config.HighAvailability) {
	case "zookeeper":
		return discovery.Members(openZooKeeper(c, log), log)
	case "etcd":
		return discovery.Members(openEtcd(c, log), log)
	case "embedded":
		return discovery.Poll(c.List(config.JobManagers), pollInterval)
	}
	return discovery.Fixed(net.JoinHostPort(c.String(config.JobManagerAddress), c.String(config.JobManagerPort)))
}
