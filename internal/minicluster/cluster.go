package minicluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage"
)

// Config describes a cluster.
type Config struct {
	JobManagers  int // 0: 1
	TaskManagers int // those that Start starts; 0: none
	Spares       int // TaskManagers that are there to be started by the test, after the others
	Slots        int // of each TaskManager; 0: 2

	HeartbeatInterval  time.Duration // 0: 50ms
	HeartbeatTimeout   time.Duration // 0: 10s, so that only what the test does makes a leader suspect
	TaskManagerTimeout time.Duration // 0: 10s
}

func (c Config) withDefaults() Config {
	c.JobManagers = cmp.Or(c.JobManagers, 1)
	c.Slots = cmp.Or(c.Slots, 2)
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, 50*time.Millisecond)
	c.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, 10*time.Second)
	c.TaskManagerTimeout = cmp.Or(c.TaskManagerTimeout, 10*time.Second)
	return c
}

// Cluster is JobManagers and TaskManagers in this process. Its methods belong to the test's
// goroutine, but for Client, and end the test when what they wait for does not come.
type Cluster struct {
	JobManagers  []*JobManager // jm-1, jm-2 …
	TaskManagers []*TaskManager

	t            testing.TB
	config       Config
	dir          string
	log          *slog.Logger
	coordination *memory.Cluster
	observer     *memory.Store
	storage      *storage.Storage
	network      *network
	chronicle    *chronicle
	client       *client.Client
	artifact     string // hash of this binary, once it is uploaded
}

// Start starts a cluster and waits until jm-1 leads, the others stand by, and every TaskManager
// has registered. It ends with the test, which fails if a part does not end well.
func Start(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	cfg = cfg.withDefaults()
	c := &Cluster{t: t, config: cfg, dir: t.TempDir(), coordination: memory.New(), chronicle: newChronicle()}
	c.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	c.network, c.observer = newNetwork(c.chronicle), c.coordination.Open()
	var err error
	if c.storage, err = storage.Open(context.Background(), c.dir+"/storage"); err != nil {
		t.Fatal(err)
	}
	for i := range cfg.JobManagers {
		c.JobManagers = append(c.JobManagers, newJobManager(c, fmt.Sprintf("jm-%d", i+1)))
	}
	for i := range cfg.TaskManagers + cfg.Spares {
		c.TaskManagers = append(c.TaskManagers, newTaskManager(c, fmt.Sprintf("tm-%d", i+1)))
	}
	c.client = client.New(locator{c})
	t.Cleanup(c.close)
	c.begin()
	return c
}

// begin lets jm-1 lead before there is another, so that it always is the first.
func (c *Cluster) begin() {
	c.t.Helper()
	c.Step("A cluster starts: %s, %s with %s each.", counted(c.config.JobManagers, "JobManager"),
		counted(c.config.TaskManagers, "TaskManager"), counted(c.config.Slots, "slot"))
	c.JobManagers[0].Start()
	c.Leader()
	for _, j := range c.JobManagers[1:] {
		j.Start()
	}
	for _, m := range c.TaskManagers[:c.config.TaskManagers] {
		m.Start()
	}
	c.Settle()
}

// parts are all of them.
func (c *Cluster) parts() []*part {
	var list []*part
	for _, j := range c.JobManagers {
		list = append(list, &j.part)
	}
	for _, m := range c.TaskManagers {
		list = append(list, &m.part)
	}
	return list
}

// close kills what still runs, so that the test's jobs need not be waited for.
func (c *Cluster) close() {
	if c.t.Failed() {
		events, _ := c.chronicle.read()
		var b strings.Builder
		for _, e := range events {
			fmt.Fprintln(&b, e)
		}
		c.t.Logf("what happened:\n%s", &b)
	}
	c.chronicle.mu.Lock()
	traps := c.chronicle.traps
	c.chronicle.mu.Unlock()
	for _, t := range traps {
		t.Release()
	}
	for _, p := range c.parts() {
		if p.Alive() {
			p.Kill()
		}
		p.ExpireSession()
	}
	c.network.close()
	events, _ := c.chronicle.read()
	for _, v := range violations(events) {
		c.t.Error(v)
	}
	if err := errors.Join(c.client.Close(), c.observer.Close()); err != nil {
		c.t.Error(err)
	}
}

// Client is a client of the cluster, which finds the leader by itself.
func (c *Cluster) Client() *client.Client { return c.client }

// locator finds the JobManagers that live.
type locator struct{ c *Cluster }

func (l locator) Addresses(context.Context) ([]string, error) {
	var list []string
	for _, j := range l.c.JobManagers {
		if address := j.REST(); address != "" {
			list = append(list, address)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no JobManager lives")
	}
	return list, nil
}

func (locator) Close() error { return nil }

// Cut cuts two parts off from each other, by their names: what one sends to the other is on
// its way until Heal. Their task processes still reach each other.
func (c *Cluster) Cut(a, b string) { c.network.setCut(a, b, true) }

// Heal ends Cut.
func (c *Cluster) Heal(a, b string) { c.network.setCut(a, b, false) }

// Step writes into the transcript what the test does next.
func (c *Cluster) Step(format string, args ...any) {
	c.chronicle.add(Event{Kind: Step, Text: fmt.Sprintf(format, args...)}, nil)
}

// Spec describes a job of this test binary, under a new id: one of the Jobs that TestMain gave to
// Main, with a parallelism and further arguments.
func (c *Cluster) Spec(name string, parallelism int, args ...string) client.Spec {
	c.t.Helper()
	if c.artifact == "" {
		path, err := os.Executable()
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, cancel := c.patience()
		defer cancel()
		if c.artifact, err = c.client.Upload(ctx, path); err != nil {
			c.t.Fatalf("upload the job binary: %v", err)
		}
	}
	return client.Spec{ID: job.NewID(), Name: name, Artifact: c.artifact, Parallelism: parallelism, Args: append([]string{"--" + jobFlag, name}, args...)}
}

// Submit submits what Spec describes.
func (c *Cluster) Submit(name string, parallelism int, args ...string) client.ID {
	c.t.Helper()
	spec := c.Spec(name, parallelism, args...)
	ctx, cancel := c.patience()
	defer cancel()
	j, err := c.client.Submit(ctx, spec)
	if err != nil {
		c.t.Fatalf("submit job %s: %v", name, err)
	}
	return j.ID
}

// Cancel asks for the end of a job.
func (c *Cluster) Cancel(id client.ID) {
	c.t.Helper()
	ctx, cancel := c.patience()
	defer cancel()
	if _, err := c.client.Cancel(ctx, id); err != nil {
		c.t.Fatalf("cancel job %s: %v", id.Short(), err)
	}
}

// Job asks the cluster about a job.
func (c *Cluster) Job(id client.ID) client.Job {
	c.t.Helper()
	ctx, cancel := c.patience()
	defer cancel()
	j, err := c.client.Job(ctx, id)
	if err != nil {
		c.t.Fatalf("job %s: %v", id.Short(), err)
	}
	return j
}
