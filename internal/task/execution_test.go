package task_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/task"
)

// held is the plan of a job whose producer sends one record, and whose consumer keeps it until
// release is closed.
func held(release <-chan struct{}) *operator.Plan {
	ints := operator.CarrierOf[int]()
	produce := func(w *operator.Wiring, _, out any) (operator.Driver, error) {
		list := func(_ context.Context, emit func(int) error) error { return emit(1) }
		return operator.NewSplits(w, "produce", list, out.(operator.Receiver[int])), nil
	}
	consume := func(*operator.Wiring, any) (any, error) { return keeper{release}, nil }
	return &operator.Plan{
		Graph: &job.Graph{Name: "held", MaxParallelism: 1, Bounded: true,
			Vertices: []job.Vertex{{Name: "produce", Parallelism: 1}, {Name: "consume", Parallelism: 1}},
			Edges:    []job.Edge{{From: 0, To: 1, Partitioning: job.Forward}},
		},
		Heads: []*operator.Node{{Name: "produce", Out: ints, Read: produce, Edges: []int{0}}, {Name: "consume", Chain: consume}},
		Edges: []operator.Edge{{Carrier: ints, Partition: ints.Forward, Consumer: "consume"}},
	}
}

// keeper is a consumer that is busy with its first batch until release is closed.
type keeper struct{ release <-chan struct{} }

func (k keeper) Batch([]int) error        { <-k.release; return nil }
func (k keeper) Event(record.Event) error { return nil }
func (k keeper) End() error               { return nil }

// states are the last that were reported, by vertex.
type states struct {
	mu   sync.Mutex
	last [2]job.State
}

func (s *states) report(r rpc.SubtaskReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[r.Subtask.Vertex] = r.State
}

func (s *states) expect(t *testing.T, when string, producer, consumer job.State) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != [2]job.State{producer, consumer} {
		t.Errorf("%s: the producer is %s and the consumer %s, want %s and %s", when, s.last[0], s.last[1], producer, consumer)
	}
}

// TestFinishedMeansDelivered: a producer is RUNNING until its consumer has released all that it
// sent, the End included, although it has nothing more to do.
func TestFinishedMeansDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var s states
		x, err := task.Start(t.Context(), held(release), task.Assignment{Slots: []int{0}, Report: s.report})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.expect(t, "while the consumer has the record", job.Running, job.Running)
		close(release)
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
		s.expect(t, "at the end", job.Finished, job.Finished)
	})
}

// TestCancelWhileDelivering: a subtask that has sent everything is cancelled like any other.
func TestCancelWhileDelivering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var s states
		ctx, cancel := context.WithCancel(t.Context())
		x, err := task.Start(ctx, held(release), task.Assignment{Slots: []int{0}, Report: s.report})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		s.expect(t, "after the cancel", job.Canceled, job.Running)
		close(release)
		if err := x.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		s.expect(t, "at the end", job.Canceled, job.Canceled)
	})
}
