// Package swarm is TaskManagers by the thousand in one process: they register with real JobManagers over real connections,
// say what a TaskManager says, and run nothing. It is for tests and figures of what a leader does when there are many of them.
//
// Each keeps R2 (the highest epoch it has seen, no message of a lower one, no command before Lead), R5 and R6 (answers name the attempt,
// and are promises), plans every job as one vertex of the parallelism that was asked for, has each subtask RUNNING as soon as it is
// deployed, tells counters every second, contributes a few bytes to each checkpoint, and tells the next leader again of what is not closed
// (R12). It never starts a process, reads no storage and moves no record. What it does not say either: a subtask's states before RUNNING, its host's
// load, and that it is back as a new instance after it was declared dead.
//
// Goroutines: one that finds JobManagers, one for each TaskManager, which tells counters, one for each TaskManager and JobManager, which dials and reads, and one that accepts what is dialed to the data ports, of which there
// is one: each TaskManager has a loopback address of its own. Close ends them all and waits for them.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Config describes a swarm.
type Config struct {
	TaskManagers int
	Slots        int    // of each
	Cluster      string // incarnation
	// JobManagers finds those that there are. It is called again and again, as they come and go.
	JobManagers func(context.Context) []client.Self
}

// Swarm is many TaskManagers.
type Swarm struct {
	cfg  Config
	all  []*taskManager
	data net.Listener
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// most is how many loopback addresses the swarm can use.
const most = 250 * 250

// findInterval is between two looks for JobManagers, which cost them something that no TaskManager does.
const findInterval = 250 * time.Millisecond

// progressInterval is how often an attempt tells its counters, as a task process does.
const progressInterval = time.Second

// Start has all of them register.
func Start(c Config) (*Swarm, error) {
	if c.TaskManagers < 1 || c.TaskManagers > most || c.Slots < 1 {
		return nil, fmt.Errorf("swarm: %d TaskManagers of %d slots; expected 1 to %d of 1 or more", c.TaskManagers, c.Slots, most)
	}
	data, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, fmt.Errorf("swarm: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Swarm{cfg: c, data: data, stop: stop}
	_, port, _ := net.SplitHostPort(data.Addr().String())
	for i := range c.TaskManagers {
		address := net.JoinHostPort(fmt.Sprintf("127.7.%d.%d", 1+i/250, 1+i%250), port)
		s.all = append(s.all, newTaskManager(fmt.Sprintf("tm-swarm-%05d", i), address, c))
	}
	for _, t := range s.all {
		s.wg.Go(func() { t.tell(ctx) })
	}
	s.wg.Go(s.accept)
	s.wg.Go(func() { s.find(ctx) })
	return s, nil
}

// Close ends all of them as SIGKILL would.
func (s *Swarm) Close() {
	s.stop()
	s.data.Close()
	s.wg.Wait()
}

// Connections is how many JobManagers have welcomed each of them, added up.
func (s *Swarm) Connections() (n int) {
	for _, t := range s.all {
		n += int(t.welcomed.Load())
	}
	return n
}

// Refused is how many were refused by a JobManager, and why one of them was. One that was declared dead does not come back.
func (s *Swarm) Refused() (n int, why string) {
	for _, t := range s.all {
		if reason := t.refused.Load(); reason != nil {
			n, why = n+1, *reason
		}
	}
	return n, why
}

// Deployments is how often a part of a job was deployed to any of them that did not run it.
func (s *Swarm) Deployments() (n int64) {
	for _, t := range s.all {
		n += t.deployments.Load()
	}
	return n
}

// accept answers those who ask whether a TaskManager lives.
func (s *Swarm) accept() {
	for {
		c, err := s.data.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.Close()
		}
	}
}

// find connects each TaskManager with each JobManager, once for each that there is.
func (s *Swarm) find(ctx context.Context) {
	known := map[string]bool{}
	tick := time.NewTicker(findInterval)
	defer tick.Stop()
	for {
		for _, j := range s.cfg.JobManagers(ctx) {
			if !known[j.ID] {
				known[j.ID] = true
				s.connect(ctx, j.RPC)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// connect has each TaskManager dial a JobManager, some at a time: a thousand at once would overflow the queue of those not accepted yet.
func (s *Swarm) connect(ctx context.Context, address string) {
	room := make(chan struct{}, 64)
	for _, t := range s.all {
		s.wg.Go(func() { t.dial(ctx, address, room) })
	}
}

// taskManager is one of them.
type taskManager struct {
	registration          rpc.Register
	cluster               string
	welcomed, deployments atomic.Int64

	refused atomic.Pointer[string] // why; nil: it was not

	mu     sync.Mutex
	table  // of its parts of jobs
	seen   coordination.Epoch
	leader *rpc.Conn // of who sent Lead under seen; nil: nobody has
}

func newTaskManager(instance, address string, c Config) *taskManager {
	return &taskManager{cluster: c.Cluster, table: newTable(), registration: rpc.Register{
		Instance: instance, Host: "swarm", Slots: c.Slots, Data: address, OS: "linux", Arch: "amd64", Version: "swarm", Storage: c.Cluster,
	}}
}

// dial keeps a connection with a JobManager until that is gone: its successor has another port.
func (t *taskManager) dial(ctx context.Context, address string, room chan struct{}) {
	tick := time.NewTicker(findInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := t.register(ctx, address)
		<-room
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			release := context.AfterFunc(ctx, func() { conn.Close() })
			t.read(conn)
			release()
			t.leaves(conn)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (t *taskManager) register(ctx context.Context, address string) (*rpc.Conn, error) {
	raw, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn, err := rpc.Dialed(raw)
	if err == nil {
		err = conn.Send(rpc.Header{Cluster: t.cluster}, t.registration)
	}
	if err != nil {
		raw.Close()
	}
	return conn, err
}

// read answers until the connection ends.
func (t *taskManager) read(conn *rpc.Conn) {
	greeted := false
	defer func() {
		conn.Close()
		if greeted {
			t.welcomed.Add(-1)
		}
	}()
	for {
		h, m, err := conn.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case rpc.Welcome:
			if !greeted { // it comes again when others come or go
				greeted = true
				t.welcomed.Add(1)
			}
			continue
		case rpc.Refused:
			t.refused.Store(&m.Reason)
			return
		}
		for _, answer := range t.answer(conn, h, m) {
			if conn.Send(rpc.Header{Cluster: t.cluster, Epoch: h.Epoch}, answer) != nil {
				return
			}
		}
	}
}

// answer is what is said to a message, unless a newer leader was seen, or it is a command of one that has not said Lead (R2).
func (t *taskManager) answer(from *rpc.Conn, h rpc.Header, m rpc.Message) []rpc.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.Epoch < t.seen || h.Epoch == 0 {
		return nil
	}
	if h.Epoch > t.seen {
		t.seen, t.leader = h.Epoch, nil
	}
	switch m.(type) {
	case rpc.Heartbeat:
	case rpc.Lead:
		t.leader = from
	default:
		if from != t.leader {
			return nil
		}
	}
	if deploy, is := m.(rpc.Deploy); is && t.isNew(deploy) {
		t.deployments.Add(1)
	}
	return t.table.answer(m)
}

// leaves forgets a connection that has ended.
func (t *taskManager) leaves(conn *rpc.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leader == conn {
		t.leader = nil
	}
}

// tell tells the leader counters every second, from a random moment on: a thousand processes do not all do so at once.
func (t *taskManager) tell(ctx context.Context) {
	timer := time.NewTimer(rand.N(progressInterval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(progressInterval)
		t.mu.Lock()
		leader, epoch, said := t.leader, t.seen, t.progress()
		t.mu.Unlock()
		for _, m := range said {
			if leader == nil || leader.Send(rpc.Header{Cluster: t.cluster, Epoch: epoch}, m) != nil {
				break // read notices
			}
		}
	}
}
