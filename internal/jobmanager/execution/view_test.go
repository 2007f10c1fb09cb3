package execution

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestViewOfCounters: what subtasks count is added up by vertex and operator.
func TestViewOfCounters(t *testing.T) {
	g := &job.Graph{Name: "test", MaxParallelism: 4, Vertices: []job.Vertex{{Name: "in -> parse", Parallelism: 2, Operators: []job.Operator{
		{Name: "in", Kind: "source"}, {Name: "parse", Kind: "map"},
	}}}}
	e := New(Intent{Phase: Running, Attempt: 2, Assignment: []string{"tm", "tm"}}, g, nil)
	counters := func(n uint64) job.Counters {
		return job.Counters{In: n, Out: n - 1, BusyNanos: n * 5e8, BlockedNanos: n * 25e7, IdleNanos: n * 125e6, Operators: map[string]job.OperatorCounters{
			"in": {Out: n}, "parse": {In: n, Out: n - 1, Skipped: 1, Metrics: []job.Metric{
				{Name: "late", Kind: job.CounterMetric, Count: n}, {Name: "Not a name", Kind: job.CounterMetric}, {Name: "h", Kind: job.HistogramMetric, Bounds: []float64{1}},
			}},
		}}
	}
	e.Step(Progressed{rpc.Progress{Attempt: 2, Subtasks: []job.Subtask{{Index: 0}, {Index: 1}}, Counters: []job.Counters{counters(10), counters(20)}}})
	e.Step(Progressed{rpc.Progress{Attempt: 1, Subtasks: []job.Subtask{{Index: 0}}, Counters: []job.Counters{counters(1000)}}}) // of an attempt that was given up
	v := e.View().Vertices[0]
	want := []api.Operator{{Name: "in", Kind: "source", RecordsOut: 30}, {Name: "parse", Kind: "map", RecordsIn: 30, RecordsOut: 28, Skipped: 2, Metrics: []job.Metric{{Name: "late", Kind: job.CounterMetric, Count: 30}}}}
	if diff := cmp.Diff(want, v.Operators); diff != "" {
		t.Error(diff)
	}
	if v.BusySeconds != 15 || v.BlockedSeconds != 7.5 || v.IdleSeconds != 3.75 {
		t.Errorf("busy %v, blocked %v, idle %v s; want 15, 7.5 and 3.75", v.BusySeconds, v.BlockedSeconds, v.IdleSeconds)
	}
}

// TestPauseOfACheckpoint: a completed checkpoint tells the longest pause of its subtasks.
func TestPauseOfACheckpoint(t *testing.T) {
	g := &job.Graph{Name: "test", MaxParallelism: 4, Vertices: []job.Vertex{{Name: "v", Parallelism: 2}}}
	e := New(Intent{Phase: Running, Attempt: 1, Assignment: []string{"tm", "tm"}, Checkpoints: Checkpoints{Reserved: 7, Open: 7, Completions: 4}}, g, nil)
	var actions []Action
	for i, paused := range []time.Duration{30 * time.Microsecond, 20 * time.Microsecond} {
		ack := job.Acknowledgement{Checkpoint: 7, Subtask: job.Subtask{Index: i}, Paused: int64(paused)}
		actions = e.Step(Acknowledged{Instance: "tm", Attempt: 1, Ack: ack})
	}
	if len(actions) != 1 {
		t.Fatalf("got %+v, want the completion", actions)
	}
	e.Step(Committed{actions[0].(Commit).Intent})
	c := e.View().Checkpoints
	if c.Completions != 5 || len(c.Completed) != 1 || c.Completed[0].PausedMillis != 0.03 {
		t.Errorf("got %+v", c)
	}
}
