package jobmanager

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// fakeTaskManager speaks the protocol, keeps R2 and R6, and runs nothing. Tests change what it does
// by its fields before it is started, or under its mutex.
type fakeTaskManager struct {
	w        *world
	instance string
	host     string // "": here
	replaces []rpc.Predecessor
	load     *rpc.Load
	lease    time.Duration // that it asks for
	slots    int
	storage  string // incarnation that it claims to know; "": the storage's
	data     net.Listener
	plan     func(rpc.Plan) rpc.Planned
	dir      string // of outputs, "" for none

	mu       sync.Mutex
	beats    int             // heartbeats that it has had
	granted  time.Duration   // until when it holds a lease, by the world's clock
	deaf     map[string]bool // kinds of message that it does not react to
	seen     coordination.Epoch
	leader   *rpc.Conn
	attempts map[job.ID]*fakeAttempt
	promised map[job.ID]job.Attempt
	log      []string // what it did, in words
	conns    map[*rpc.Conn]bool
	closed   bool

	stop context.CancelFunc
	wg   sync.WaitGroup
}

type fakeAttempt struct {
	deploy rpc.Deploy
	states map[job.Subtask]rpc.SubtaskReport
}

func (w *world) taskManager(instance string, slots int) *fakeTaskManager {
	w.t.Helper()
	data, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	f := &fakeTaskManager{
		w: w, instance: instance, slots: slots, data: data, plan: planOf(2),
		attempts: map[job.ID]*fakeAttempt{}, promised: map[job.ID]job.Attempt{}, conns: map[*rpc.Conn]bool{}, deaf: map[string]bool{},
	}
	w.t.Cleanup(f.kill)
	return f
}

// planOf answers Plan with a graph of two connected vertices of this parallelism.
func planOf(parallelism int) func(rpc.Plan) rpc.Planned {
	return func(p rpc.Plan) rpc.Planned {
		return rpc.Planned{Job: p.Spec.ID, Graph: &job.Graph{Name: "planned", MaxParallelism: 128, Bounded: true, Vertices: []job.Vertex{
			{Name: "lines", Parallelism: parallelism}, {Name: "count", Parallelism: parallelism},
		}, Edges: []job.Edge{{To: 1, Partitioning: job.Hash}}}}
	}
}

// start accepts data connections, and dials each JobManager again and again.
func (f *fakeTaskManager) start() *fakeTaskManager {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.wg.Go(func() {
		for {
			c, err := f.data.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	f.wg.Go(func() {
		var dialers sync.WaitGroup
		defer dialers.Wait()
		dialing := map[string]bool{}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			for _, a := range f.w.addresses() {
				if !dialing[a] {
					dialing[a] = true
					dialers.Go(func() { f.dial(ctx, a) })
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return f
}

func (f *fakeTaskManager) dial(ctx context.Context, address string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if raw, err := net.Dial("tcp", address); err == nil {
			f.session(raw)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (f *fakeTaskManager) session(raw net.Conn) {
	defer raw.Close()
	conn, err := rpc.Dialed(raw)
	if err != nil {
		return
	}
	cluster := f.storage
	if cluster == "" {
		if cluster, err = f.w.storage.Incarnation(context.Background()); err != nil {
			return
		}
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.conns[conn] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, conn)
		if f.leader == conn {
			f.leader = nil
		}
	}()
	_ = conn.Send(rpc.Header{Cluster: cluster}, rpc.Register{
		Instance: f.instance, Host: cmp.Or(f.host, "here"), Replaces: f.replaces, Slots: f.slots, Data: f.data.Addr().String(), OS: "linux", Arch: "amd64", Storage: cluster, Lease: f.lease,
	})
	for {
		h, m, err := conn.Receive()
		if err != nil {
			return
		}
		f.handle(conn, cluster, h, m)
	}
}

func (f *fakeTaskManager) handle(conn *rpc.Conn, cluster string, h rpc.Header, m rpc.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch m := m.(type) {
	case rpc.Welcome:
		return
	case rpc.Refused:
		f.note("refused dead=%v: %s", m.Dead, m.Reason)
		return
	}
	if h.Epoch < f.seen {
		f.note("refuses %s of epoch %d", m.Kind(), h.Epoch)
		return
	}
	f.seen = h.Epoch
	if f.deaf[m.Kind()] {
		f.note("deaf to %s", m.Kind())
		return
	}
	reply := func(m rpc.Message) { _ = conn.Send(rpc.Header{Cluster: cluster, Epoch: f.seen}, m) }
	switch m := m.(type) {
	case rpc.Heartbeat:
		f.beats++
		if m.Renews != nil {
			f.granted = max(f.granted, m.Renews.Sent+m.Renews.For)
		}
		answer := rpc.Heartbeat{Seq: m.Seq, Load: f.load}
		if f.lease > 0 {
			answer.Asks = &rpc.Ask{Sent: f.w.clock.now()}
		}
		reply(answer)
	case rpc.Inspect:
		reply(rpc.Inspected{Query: m.Query})
	case rpc.Lead:
		f.leader = conn
		f.note("follows epoch %d", h.Epoch)
		reply(f.report())
	case rpc.Plan:
		f.note("plans")
		answer := f.plan(m)
		answer.Request = m.Request
		reply(answer)
	case rpc.Trigger:
		f.note("triggers %d stop=%t", m.Checkpoint, m.Stop)
		reply(f.acknowledge(m))
	case rpc.Closed:
		f.note("closes %d resume=%t", m.Checkpoint, m.Resume)
	case rpc.Deploy:
		f.deploy(m, reply)
	case rpc.Stop:
		f.note("stops attempt %d", m.Attempt)
		f.promised[m.Job] = max(f.promised[m.Job], m.Attempt)
		reply(rpc.Stopped{Job: m.Job, Attempt: m.Attempt})
	case rpc.Retire:
		f.note("retires")
		reply(rpc.Farewell{})
	case rpc.Confirm:
		f.note("confirmed attempt %d", m.Attempt)
		if a := f.attempts[m.Job]; a != nil && a.deploy.Attempt <= m.Attempt {
			delete(f.attempts, m.Job)
		}
	}
}

// acknowledge contributes a small state of each subtask.
func (f *fakeTaskManager) acknowledge(m rpc.Trigger) rpc.Acknowledge {
	answer := rpc.Acknowledge{Job: m.Job, Attempt: m.Attempt}
	if a := f.attempts[m.Job]; a != nil && a.deploy.Attempt == m.Attempt {
		for s := range a.states {
			state := storage.InlineState(job.StateHandle{Operator: "count", State: "sums", Kind: job.ValueState}, []byte("state"))
			answer.Acks = append(answer.Acks, job.Acknowledgement{Checkpoint: m.Checkpoint, Subtask: s, States: []job.StateHandle{state}})
		}
	}
	return answer
}

func (f *fakeTaskManager) deploy(d rpc.Deploy, reply func(rpc.Message)) {
	id := d.Spec.ID
	switch a := f.attempts[id]; {
	case d.Attempt <= f.promised[id]:
		reply(rpc.Stopped{Job: id, Attempt: f.promised[id]})
		return
	case a != nil && a.deploy.Attempt == d.Attempt:
		f.note("deployed again attempt %d", d.Attempt)
	default:
		f.note("deploys attempt %d slots %v", d.Attempt, d.Slots)
		f.attempts[id] = f.newAttempt(d)
	}
	reply(rpc.Status{AttemptReport: f.attempts[id].report()})
}

func (f *fakeTaskManager) newAttempt(d rpc.Deploy) *fakeAttempt {
	g, err := f.w.storage.Graph(context.Background(), d.GraphHash)
	if err != nil {
		panic(err)
	}
	a := &fakeAttempt{deploy: d, states: map[job.Subtask]rpc.SubtaskReport{}}
	for _, slot := range d.Slots {
		for _, s := range g.SlotSubtasks(slot) {
			a.states[s] = rpc.SubtaskReport{Subtask: s, State: job.Running}
		}
	}
	return a
}

func (a *fakeAttempt) report() rpc.AttemptReport {
	r := rpc.AttemptReport{Job: a.deploy.Spec.ID, Attempt: a.deploy.Attempt, PID: 4711}
	for _, s := range a.states {
		r.Subtasks = append(r.Subtasks, s)
	}
	return r
}

func (f *fakeTaskManager) report() rpc.Report {
	var r rpc.Report
	for _, a := range f.attempts {
		r.Attempts = append(r.Attempts, a.report())
	}
	return r
}

// change gives every subtask of a job a state, and tells the leader if there is one. What
// is FINISHED has written a file per subtask of the last vertex.
func (f *fakeTaskManager) change(id job.ID, state job.State, failure string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.attempts[id]
	if a == nil {
		f.w.t.Errorf("%s has no attempt of %s", f.instance, id)
		return
	}
	for s, r := range a.states {
		r.State, r.Failure = state, failure
		if state == job.Finished && f.dir != "" && s.Vertex == 1 {
			r.Outputs = []job.Output{f.output(s.Index, a.deploy.Attempt)}
		}
		a.states[s] = r
	}
	if f.leader != nil {
		cluster, _ := f.w.storage.Incarnation(context.Background())
		_ = f.leader.Send(rpc.Header{Cluster: cluster, Epoch: f.seen}, rpc.Status{AttemptReport: a.report()})
	}
}

func (f *fakeTaskManager) output(subtask int, attempt job.Attempt) job.Output {
	name := fmt.Sprintf("part-%d-%d", subtask, attempt)
	return job.Output{Temp: filepath.Join(f.dir, "."+name), Final: filepath.Join(f.dir, name)}
}

func (f *fakeTaskManager) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if n := len(f.log); n > 0 && f.log[n-1] == line {
		return // a zombie repeats itself
	}
	f.log = append(f.log, line)
}

// did counts how often it did something.
func (f *fakeTaskManager) did(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, l := range f.log {
		if l == what {
			n++
		}
	}
	return n
}

func (f *fakeTaskManager) history() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// hear makes it react to everything.
func (f *fakeTaskManager) hear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.deaf)
}

// disconnect breaks its connections; it dials again.
func (f *fakeTaskManager) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// farewell says that it ends, to the leader, and what it had to kill.
func (f *fakeTaskManager) farewell(killed ...string) {
	cluster, _ := f.w.storage.Incarnation(context.Background())
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.leader.Send(rpc.Header{Cluster: cluster, Epoch: f.seen}, rpc.Farewell{Killed: killed})
}

// kill ends it as SIGKILL does: its port refuses and its connections end.
func (f *fakeTaskManager) kill() {
	f.data.Close()
	if f.stop == nil {
		return
	}
	f.stop()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.disconnect()
	f.wg.Wait()
}
