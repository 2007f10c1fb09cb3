package jobmanager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster in one process: JobManagers over coordination in memory, and scripted
// TaskManagers over loopback.
type world struct {
	t        *testing.T
	coord    *memory.Cluster
	storage  *storage.Storage
	artifact string
	tune     func(*Config)
	clock    fakeClock // of leases

	mu  sync.Mutex
	jms []*node
}

// node is one JobManager.
type node struct {
	*JobManager
	w        *world
	stop     context.CancelFunc
	listener net.Listener
	done     chan struct{}
	err      error // of run, once done is closed

	mu     sync.Mutex
	stores []*memory.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const binary = "a job binary"
	sum := sha256.Sum256([]byte(binary))
	w := &world{t: t, coord: memory.New(), storage: s, artifact: hex.EncodeToString(sum[:])}
	if err := s.PutArtifact(context.Background(), w.artifact, strings.NewReader(binary)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) logger() *slog.Logger {
	level := slog.LevelError + 1
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// start starts a JobManager.
func (w *world) start(id string) *node {
	w.t.Helper()
	n := &node{w: w, done: make(chan struct{})}
	cfg := Config{
		Clock: w.clock.now,
		ID:    id, Open: n.open, Storage: w.storage, Host: "127.0.0.1", Logger: w.logger(),
		HeartbeatInterval: 20 * time.Millisecond, HeartbeatTimeout: 300 * time.Millisecond, TaskManagerTimeout: 10 * time.Second,
	}
	if w.tune != nil {
		w.tune(&cfg)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		w.t.Fatal(err)
	}
	var rest net.Listener
	for _, ln := range []*net.Listener{&n.listener, &rest} {
		if *ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			w.t.Fatal(err)
		}
	}
	n.JobManager = newJobManager(cfg, n.listener.Addr(), rest.Addr())
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() {
		defer close(n.done)
		n.err = n.run(ctx, n.listener, rest)
	}()
	w.mu.Lock()
	w.jms = append(w.jms, n)
	w.mu.Unlock()
	w.t.Cleanup(func() { n.stop(); n.heal(); <-n.done })
	return n
}

func (n *node) open(context.Context) (coordination.Store, error) {
	s := n.w.coord.Open()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stores = append(n.stores, s)
	return s, nil
}

func (n *node) each(f func(*memory.Store)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.stores {
		f(s)
	}
}

func (n *node) cut()  { n.each((*memory.Store).Cut) }
func (n *node) heal() { n.each((*memory.Store).Heal) }

// kill ends the JobManager as SIGKILL does: nothing of it reaches coordination any more, and
// its connections and its port end at once.
func (n *node) kill() {
	n.cut()
	n.listener.Close()
	n.connections.close()
	n.stop()
}

// addresses are the RPC addresses of every JobManager started so far.
func (w *world) addresses() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, n := range w.jms {
		list = append(list, n.self.Address)
	}
	return list
}

// leader waits until a JobManager other than those given serves.
func (w *world) leader(but ...*node) *node {
	w.t.Helper()
	var found *node
	w.eventually("a JobManager leads", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, n := range w.jms {
			excluded := false
			for _, b := range but {
				excluded = excluded || b == n
			}
			if !excluded && n.serving.Load() != nil {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// eventually polls for a condition.
func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(15 * time.Second); !condition(); {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("not in 15 s: %s", what)
		}
	}
}

func (w *world) spec() job.Spec {
	return job.Spec{ID: job.NewID(), Name: "test", Artifact: w.artifact, Args: []string{"--input", "x"}}
}

// submit submits a new job to n.
func (w *world) submit(n *node) job.ID {
	w.t.Helper()
	j, err := n.Submit(context.Background(), w.spec())
	if err != nil {
		w.t.Fatal(err)
	}
	return j.ID
}

// state is a job's, asked of whoever leads; "" if nobody does.
func (w *world) job(id job.ID) api.Job {
	w.mu.Lock()
	jms := append([]*node(nil), w.jms...)
	w.mu.Unlock()
	for _, n := range jms {
		if j, err := n.Job(context.Background(), id); err == nil {
			return j
		}
	}
	return api.Job{}
}

func (w *world) await(id job.ID, state job.State) api.Job {
	w.t.Helper()
	var j api.Job
	w.eventually("job is "+string(state), func() bool { j = w.job(id); return j.State == state })
	return j
}

// intent is a job's as committed, read past every JobManager.
func (w *world) phase(id job.ID) string {
	for _, n := range w.jms {
		if l := n.leading.Load(); l != nil {
			if e, err := l.term.Get(context.Background(), intentKey(id)); err == nil {
				in, err := decodeIntent(context.Background(), w.storage, e.Value)
				if err == nil {
					return string(in.Phase)
				}
			}
		}
	}
	return ""
}

func code(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
