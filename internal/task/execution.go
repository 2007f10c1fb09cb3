package task

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// Assignment says which part of a plan runs in this process, and as what.
type Assignment struct {
	Job     job.ID
	Attempt job.Attempt
	Slots   []int // slot i runs subtask i of vertices
	// Subtasks are those of Slots that run here; nil: all of them. What exchanges connect with one of them
	// is here, or in a slot of Peers.
	Subtasks []job.Subtask
	Peers    map[int]string // the data address of each other slot; none when all slots are here
	Dir      string         // where relative paths of the job start; "" is the working directory
	Scratch  string         // a directory for what is of no use after this process; "": the system's
	Copies   string         // a directory for copies of states that may be of use to a later one; "": none are kept
	Logger   *slog.Logger   // nil: slog.Default

	// Exchange has the data connections. It may be nil when all slots are here. It outlives
	// the execution: peers may still wait for credit, or resume a broken connection for it.
	Exchange *shuffle.Exchange

	// Checkpoints is how subtasks contribute to checkpoints; nil: they do not.
	Checkpoints *Checkpoints

	// Lease is looked at before each batch: once it is over, subtasks stand still until it is renewed. nil: they run for
	// any time.
	Lease *Lease

	// Report is told of each change of a subtask's state, in order for each subtask, from
	// several goroutines.
	Report func(rpc.SubtaskReport)
}

// Execution is a part of a job that runs in this process.
type Execution struct {
	plan     *operator.Plan
	cfg      Assignment
	subtasks []*subtask
	gates    map[input]any // a *shuffle.Gate of the input's type
	wg       sync.WaitGroup
	uploads  sync.WaitGroup // of what barriers brought
	copies   *copies
	ctx      context.Context // ends the uploads
	left     atomic.Int64    // subtasks that have not come to their end
	ended    chan struct{}   // closed: all have
	metrics  operator.MetricNames

	mu      sync.Mutex
	failure error // the first
}

// Start wires the slots of a and runs their subtasks until each has finished, failed, or seen
// the end of ctx, in which case it aborts its sinks. The caller calls Wait.
func Start(ctx context.Context, plan *operator.Plan, a Assignment) (*Execution, error) {
	if a.Logger == nil {
		a.Logger = slog.Default()
	}
	x := &Execution{plan: plan, cfg: a, gates: map[input]any{}, ctx: ctx, ended: make(chan struct{}), copies: newCopies(a.Copies)}
	if err := x.checkPeers(); err != nil {
		return nil, err
	}
	ids := a.Subtasks
	for _, slot := range a.Slots {
		if a.Subtasks == nil {
			ids = append(ids, plan.Graph.SlotSubtasks(slot)...)
		}
	}
	for _, id := range ids {
		x.subtasks = append(x.subtasks, x.newSubtask(ctx, id))
	}
	x.left.Store(int64(len(x.subtasks)))
	for _, s := range x.subtasks {
		x.wg.Go(s.run)
	}
	return x, nil
}

// Wait returns once every subtask has ended: nil if all of them finished, else the first
// failure, or the cause of the end of ctx. Until ctx ends, they go on contributing to checkpoints.
func (x *Execution) Wait() error {
	x.wg.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.failure
}

// Close closes what keeps the states of subtasks that finished, which contributed to checkpoints until now. The
// caller has seen that Wait returned.
func (x *Execution) Close() {
	for _, s := range x.subtasks {
		s.uploads.close(s)
	}
}

// Progress returns the counters of all subtasks, each with the subtask of the same index. The metrics of user functions
// are with the first subtask of each vertex, added up: how many subtasks there are does not tell in a message's length.
func (x *Execution) Progress() ([]job.Subtask, []job.Counters) {
	ids := make([]job.Subtask, len(x.subtasks))
	counters := make([]job.Counters, len(x.subtasks))
	first := map[int]job.Counters{} // by vertex
	for i, s := range x.subtasks {
		ids[i], counters[i] = s.id, s.counters()
		if sum, there := first[s.id.Vertex]; there {
			addMetrics(sum, counters[i])
		} else {
			first[s.id.Vertex] = counters[i]
		}
	}
	return ids, counters
}

// addMetrics moves the metrics of one subtask to another.
func addMetrics(sum, c job.Counters) {
	for name, op := range c.Operators {
		if len(op.Metrics) == 0 {
			continue
		}
		to := sum.Operators[name]
		to.Metrics = job.AddMetrics(to.Metrics, op.Metrics)
		sum.Operators[name] = to
		op.Metrics = nil
		c.Operators[name] = op
	}
}

func (x *Execution) checkPeers() error {
	for slot := range x.plan.Graph.Slots() {
		if x.isHere(slot) {
			continue
		}
		if x.cfg.Peers[slot] == "" || x.cfg.Exchange == nil {
			return fmt.Errorf("slot %d is neither here nor at a known address", slot)
		}
	}
	return nil
}

func (x *Execution) isHere(slot int) bool {
	for _, s := range x.cfg.Slots {
		if s == slot {
			return true
		}
	}
	return false
}

func (x *Execution) report(r rpc.SubtaskReport, err error) {
	x.mu.Lock()
	if x.failure == nil {
		x.failure = err
	}
	x.mu.Unlock()
	if x.cfg.Report != nil {
		x.cfg.Report(r)
	}
}
