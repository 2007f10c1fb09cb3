package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/internal/build"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
	"github.com/perennial-io/perennial/internal/jobmanager"
	"github.com/perennial-io/perennial/internal/keeper"
	"github.com/perennial-io/perennial/internal/rest"
	"github.com/perennial-io/perennial/internal/restart"
	"github.com/perennial-io/perennial/internal/storage"
)

func jobManagerCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "jobmanager", Short: "Run a JobManager in the foreground", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			pace, log := new(jobmanager.Pace), newLogger(c, os.Stderr)
			r := reloader{load: g.load, started: c, now: c, log: log,
				uses: []config.Name{config.HeartbeatInterval, config.HeartbeatTimeout, config.TaskManagerTimeout},
				take: func(c *config.Config) error { return pace.Set(heartbeats(c)) }}
			defer r.run(cmd.Context())()
			defer endInTime(cmd.Context(), log.Logger)()
			stop := keepMemory(c, log.Logger)
			err = runJobManager(cmd.Context(), c, pace, log.Logger)
			stop() // not deferred: of a panic standbys are to hear as soon
			return err
		},
	}
}

func heartbeats(c *config.Config) jobmanager.Heartbeats {
	return jobmanager.Heartbeats{Interval: c.Duration(config.HeartbeatInterval), Timeout: c.Duration(config.HeartbeatTimeout), TaskManagerTimeout: c.Duration(config.TaskManagerTimeout)}
}

func runJobManager(ctx context.Context, c *config.Config, pace *jobmanager.Pace, log *slog.Logger) error {
	if err := takeBallast(); err != nil {
		return err
	}
	warnOpen(log, c, config.JobManagerBind, config.RestBind)
	store, err := openStorage(ctx, c)
	if err != nil {
		return err
	}
	log.Info("perennial jobmanager", "version", build.Version, "pid", os.Getpid(),
		"high-availability", c.String(config.HighAvailability), "storage", store.Dir())
	defer log.Info("perennial jobmanager has ended", "pid", os.Getpid())
	b, err := back(ctx, c, store, log)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // nothing has failed: it was stopped while it waited for the others
	case err != nil:
		return err
	}
	defer func() { _ = b.close() }() // the process ends, and the term was resigned before
	var announcing sync.WaitGroup
	defer announcing.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if b.ended != nil {
		stop := endWith(ctx, b.ended, func() { cancel(errQuorumEnded) })
		defer stop()
	}
	err = jobmanager.Run(ctx, jobmanager.Config{
		Open: b.open, Storage: store,
		API: func(jm *jobmanager.JobManager) http.Handler {
			announcing.Go(func() { announce(ctx, jm) })
			return rest.Handler(jm)
		},
		Host:              b.host,
		RPCBind:           net.JoinHostPort(c.String(config.JobManagerBind), c.String(config.JobManagerPort)),
		RESTBind:          net.JoinHostPort(c.String(config.RestBind), c.String(config.RestPort)),
		HeartbeatInterval: c.Duration(config.HeartbeatInterval), HeartbeatTimeout: c.Duration(config.HeartbeatTimeout),
		TaskManagerTimeout: c.Duration(config.TaskManagerTimeout), Pace: pace,
		Checkpoints: jobmanager.Checkpoints{
			Interval: c.Duration(config.CheckpointInterval), MinPause: c.Duration(config.CheckpointMinPause),
			Timeout: c.Duration(config.CheckpointTimeout), Retained: c.Int(config.CheckpointRetained),
			RestartAfter: restartAfter(c),
		},
		Restart:    restartStrategy(c),
		ClaimDelay: b.claimDelay, HandOver: b.handOver, Quorum: b.quorum,
		Retention: jobmanager.Retention{Time: c.Duration(config.JobsRetention), Number: c.Int(config.JobsRetained)},
		Version:   build.Version, Logger: log,
	})
	if cause := context.Cause(ctx); cause == errQuorumEnded { //nolint:errorlint // it is never wrapped
		return cause
	}
	return err
}

// keepMemory has the connections to standbys break at once if this process is killed: they take over at that. Where there are
// none nothing is gained, and the next process would wait for the memory to be freed.
func keepMemory(c *config.Config, log *slog.Logger) (stop func()) {
	if c.String(config.HighAvailability) == "none" {
		return func() {}
	}
	const without = "standbys hear late of this process if it is killed, after its memory was freed"
	stop, err := keeper.Start(func() { log.Warn("the keeper has ended: " + without) })
	if err != nil {
		log.Info(without, "error", err)
		return func() {}
	}
	return stop
}

// announcePoll is between two looks of announce: nobody waits for it but who types.
const announcePoll = 20 * time.Millisecond

// announce tells whoever started this process once it answers requests, or knows who does. That its
// ports are bound says nothing yet: its first term may find that it is of another cluster.
func announce(ctx context.Context, jm *jobmanager.JobManager) {
	tick := time.NewTicker(announcePoll)
	defer tick.Stop()
	for !jm.Ready(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	daemon.Ready()
}

// restartAfter is how many checkpoints in a row fail before a job is restarted; 0: any number may.
func restartAfter(c *config.Config) int {
	if c.String(config.CheckpointFailures) == "" {
		return 0
	}
	return c.Int(config.CheckpointFailures) + 1
}

// openStorage opens what storage.dir names.
func openStorage(ctx context.Context, c *config.Config) (*storage.Storage, error) {
	return storage.Open(ctx, s3Server(c).Complete(c.String(config.StorageDir)))
}

func s3Server(c *config.Config) storage.S3 {
	return storage.S3{Endpoint: c.String(config.S3Endpoint), Region: c.String(config.S3Region), PathStyle: c.String(config.S3PathStyle)}
}

func restartStrategy(c *config.Config) restart.Strategy {
	s := restart.Strategy{
		Kind:           restart.Kind(c.String(config.RestartStrategy)),
		InitialBackoff: c.Duration(config.RestartInitialBackoff), MaxBackoff: c.Duration(config.RestartMaxBackoff),
		Attempts: c.Int(config.RestartFixedAttempts), Delay: c.Duration(config.RestartFixedDelay),
		MaxFailures: c.Int(config.RestartRateFailures), Interval: c.Duration(config.RestartRateInterval),
	}
	if s.Kind == restart.FailureRate {
		s.Delay = c.Duration(config.RestartRateDelay)
	}
	return s
}

// endWith calls f once ended is closed, unless stop was called before. stop waits for the
// goroutine that watches.
func endWith(ctx context.Context, ended <-chan struct{}, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ended:
			f()
		case <-ctx.Done():
		}
	}()
	return func() { cancel(); <-done }
}

// warnOpen says what it means to leave loopback, as there is no authentication yet.
func warnOpen(log *slog.Logger, c *config.Config, binds ...config.Name) {
	for _, name := range binds {
		host := c.String(name)
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			continue
		}
		log.Warn(fmt.Sprintf("%s is %q: there is no authentication yet, and whoever reaches this port can run code here", name, host))
	}
}
