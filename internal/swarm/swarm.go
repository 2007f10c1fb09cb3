// Package swarm is TaskManagers by the thousand in one process: they register with real JobManagers over real connections,
// say what a TaskManager says, and run nothing. It is for tests and figures of what a leader does when there are many of them.
//
// Each keeps R2 (the highest epoch it has seen, no message of a lower one) and R6 (its promises), plans every job as one vertex of
// the parallelism that was asked for, has each subtask RUNNING as soon as it is deployed, and contributes a few bytes to each
// checkpoint. It never starts a process, reads no storage and moves no record.
//
// Goroutines: one that finds JobManagers, one for each TaskManager and JobManager, which dials and reads, and one that accepts what is dialed to the data ports, of which there
// is one: each TaskManager has a loopback address of its own. Close ends them all and waits for them.
package swarm

import (
	"context"
	"errors"
	"fmt"
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

// findInterval is between two looks for JobManagers.
const findInterval = 50 * time.Millisecond

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

// Refused is how many were refused by a JobManager, as they were declared dead: they do not come back.
func (s *Swarm) Refused() (n int) {
	for _, t := range s.all {
		if t.refused.Load() {
			n++
		}
	}
	return n
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

	refused atomic.Bool

	mu    sync.Mutex
	table // of its parts of jobs
	seen  coordination.Epoch
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
		room <- struct{}{}
		conn, err := t.register(ctx, address)
		<-room
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			release := context.AfterFunc(ctx, func() { conn.Close() })
			t.read(conn)
			release()
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
		switch m.(type) {
		case rpc.Welcome:
			if !greeted { // it comes again when others come or go
				greeted = true
				t.welcomed.Add(1)
			}
			continue
		case rpc.Refused:
			t.refused.Store(true)
			return
		}
		for _, answer := range t.answer(h, m) {
			if conn.Send(rpc.Header{Cluster: t.cluster, Epoch: h.Epoch}, answer) != nil {
				return
			}
		}
	}
}

// answer is what is said to a message, unless a newer leader was seen (R2).
func (t *taskManager) answer(h rpc.Header, m rpc.Message) []rpc.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.Epoch < t.seen {
		return nil
	}
	t.seen = h.Epoch
	if deploy, is := m.(rpc.Deploy); is && t.isNew(deploy) {
		t.deployments.Add(1)
	}
	return t.table.answer(m)
}
