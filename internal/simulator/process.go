package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/discovery"
	"github.com/perennial-io/perennial/internal/jobmanager"
	"github.com/perennial-io/perennial/internal/rest"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/taskmanager"
)

// errDead is what a killed process gets from the world, in the moment in which it still runs.
var errDead = errors.New("simulator: this process is dead")

// How fast a simulated cluster is.
const (
	heartbeatInterval  = 100 * time.Millisecond
	heartbeatTimeout   = 500 * time.Millisecond
	taskManagerTimeout = 3 * time.Second
	checkpointInterval = 500 * time.Millisecond
	checkpointTimeout  = 3 * time.Second
)

// The ports of each host.
const (
	rpcPort  = "6123"
	restPort = "8081"
	dataPort = "6121"
)

// process is one life: one call of jobmanager.Run, taskmanager.Run, or a task process, or the client's.
type process struct {
	w    *world
	host *host
	name string // of this life: jm-1, after a restart jm-1.2

	end  context.CancelFunc
	done chan struct{} // closed when it has ended
	err  error

	heard   context.Context // ends when it is dead
	silence context.CancelFunc

	// Of the network's mutex.
	dead    bool
	leaving bool // it was told to end
	frozen  bool
	thawed  chan struct{} // closed while it is not frozen
	resumed time.Time     // when it last was

	clock clock

	// Of the world's mutex.
	stores []*memory.Store // sessions with coordination
	tasks  []*task
	api    *jobmanager.JobManager // nil until there is one
}

func (w *world) newProcess(h *host, name string) *process {
	p := &process{w: w, host: h, name: name, done: make(chan struct{}), thawed: make(chan struct{})}
	close(p.thawed)
	p.heard, p.silence = context.WithCancel(context.Background())
	return p
}

// pass waits while the process is frozen, and fails if it is dead, or ctx ends first.
func (p *process) pass(ctx context.Context) error {
	for {
		p.w.net.mu.Lock()
		dead, frozen, thawed := p.dead, p.frozen, p.thawed
		p.w.net.mu.Unlock()
		switch {
		case dead:
			return errDead
		case !frozen:
			return nil
		}
		select {
		case <-thawed:
		case <-p.heard.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// freeze has nothing go in or out of the process, or ends that.
func (p *process) freeze(on bool) {
	p.w.net.mu.Lock()
	switch {
	case p.frozen == on:
	case on:
		p.frozen, p.thawed = true, make(chan struct{})
	default:
		p.frozen, p.resumed = false, time.Now()
		close(p.thawed)
	}
	p.w.net.mu.Unlock()
	p.w.net.thaw()
}

// isLeaving reports whether the process was told to end.
func (p *process) isLeaving() bool {
	p.w.net.mu.Lock()
	defer p.w.net.mu.Unlock()
	return p.leaving
}

// enterSession gives a session the condition that the process's way to coordination is in.
func (p *process) enterSession(s *memory.Store) {
	p.w.mu.Lock()
	p.stores = append(p.stores, s)
	condition := p.w.links[p.host.name]
	p.w.mu.Unlock()
	condition.impose(s)
}

// link is in what condition a host's way to coordination is. Each is a count of faults.
type link struct {
	cut, mute int
	slow      time.Duration
}

func (l link) impose(s *memory.Store) {
	s.Delay(500*time.Microsecond + l.slow)
	switch {
	case l.cut > 0:
		s.Cut()
	case l.mute > 0:
		s.LoseReplies()
	default:
		s.Heal()
	}
}

// sessions are those of a host's present life.
func (w *world) sessions(host string) []*memory.Store {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.hosts[host].process
	if p == nil {
		return nil
	}
	return append([]*memory.Store(nil), p.stores...)
}

// expire ends the sessions of a process.
func (p *process) expire() {
	p.w.mu.Lock()
	stores := append([]*memory.Store(nil), p.stores...)
	p.w.mu.Unlock()
	for _, s := range stores {
		s.Expire()
	}
}

// start begins a life of a host's process.
func (w *world) start(h *host, run func(ctx context.Context, p *process) error) {
	w.lives[h.name]++
	name := h.name
	if n := w.lives[h.name]; n > 1 {
		name = fmt.Sprintf("%s.%d", h.name, n)
	}
	p := w.newProcess(h, name)
	var ctx context.Context
	ctx, p.end = context.WithCancel(context.Background())
	w.mu.Lock()
	h.process = p
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	w.note("%s starts", name)
	w.running.Go(func() {
		defer close(p.done)
		p.clock.identify(p.name)
		p.err = run(ctx, p)
	})
}

// isUp reports whether a host has a process that was neither killed nor told to end.
func (w *world) isUp(h *host) bool {
	w.mu.Lock()
	p := h.process
	w.mu.Unlock()
	return p != nil && p.alive()
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	case <-p.heard.Done():
		return false
	default:
		return true
	}
}

// kill ends a process as SIGKILL does, or as a power failure of its host. Its session goes when coordination has not
// heard of it for long enough.
func (w *world) kill(h *host, power bool) {
	p := h.process
	w.note("%s dies", p.name)
	if power {
		w.net.mu.Lock()
		h.dark = true
		w.net.mu.Unlock()
	}
	w.mu.Lock()
	tasks := append([]*task(nil), p.tasks...)
	w.mu.Unlock()
	w.net.silence(p, !power)
	p.silence()
	for _, t := range tasks {
		t.die("was killed by signal 9 (killed)")
	}
	p.freeze(false)
	p.end()
	time.AfterFunc(sessionTimeout, p.expire)
}

// stop ends a process as SIGTERM does, and waits.
func (w *world) stop(h *host) {
	p := h.process
	w.note("%s is told to end", p.name)
	p.freeze(false)
	w.net.mu.Lock()
	p.leaving = true
	w.net.mu.Unlock()
	p.end()
	<-p.done
	if p.err != nil {
		w.check.violate("", "%s ended: %v", p.name, p.err)
	}
	w.net.silence(p, true)
	p.silence()
	p.expire()
}

// storage is what a process has of the disk.
func (p *process) storage() *storage.Storage { return storage.Over(view{p.w.disk, p}) }

// runJobManager is a life of one.
func (w *world) runJobManager(ctx context.Context, p *process) error {
	at := p.host.address
	return jobmanager.Run(ctx, jobmanager.Config{
		ID: p.name, Open: p.open, Storage: p.storage(), Host: at, RPCBind: at + ":" + rpcPort, RESTBind: at + ":" + restPort,
		Dial: w.net.dial(p), Listen: w.net.listen(p), Version: "simulated", Logger: w.log.With("process", p.name),
		API: func(jm *jobmanager.JobManager) http.Handler {
			w.mu.Lock()
			p.api = jm
			w.mu.Unlock()
			return rest.Handler(jm)
		},
		HeartbeatInterval: heartbeatInterval, HeartbeatTimeout: heartbeatTimeout, TaskManagerTimeout: taskManagerTimeout,
		Checkpoints: jobmanager.Checkpoints{Interval: checkpointInterval, Timeout: checkpointTimeout},
	})
}

// runTaskManager is a life of one. Its work directory is a copy of what the last one had in its, as of its death:
// what a killed TaskManager does unheard it does in a directory that nobody looks into.
func (w *world) runTaskManager(ctx context.Context, p *process) error {
	at, log := p.host.address, w.log.With("process", p.name)
	dir := filepath.Join(w.dir, p.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if before := w.remains[p.host.name]; before != nil {
		if err := os.WriteFile(filepath.Join(dir, "instances"), before, 0o644); err != nil {
			return err
		}
	}
	return taskmanager.Run(ctx, taskmanager.Config{
		Host: at, Slots: w.plan.Slots, DataBind: at + ":" + dataPort, WorkDir: dir, Storage: p.storage(),
		Discover: discovery.Addresses(discovery.Members(p.open, log)), Dial: w.net.dial(p), Listen: w.net.listen(p), Programs: programs{p},
		Version: "simulated", Logger: log, Timeouts: taskmanager.Timeouts{Silence: taskManagerTimeout, Stop: 2 * time.Second},
	})
}

// bequeath keeps what the next TaskManager of a host finds.
func (w *world) bequeath(h *host) {
	if b, err := os.ReadFile(filepath.Join(w.dir, h.process.name, "instances")); err == nil {
		w.remains[h.name] = b
	}
}
