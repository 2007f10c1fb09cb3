package stream

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/task"
)

// Counter counts what a function sees; it comes from Context.Counter or Operator.Counter.
type Counter = operator.Counter

// Gauge is a value that rises and falls; it comes from Context.Gauge or Operator.Gauge.
type Gauge = operator.Gauge

// Histogram counts values by size; it comes from Context.Histogram or Operator.Histogram.
type Histogram = operator.Histogram

// Metric is what a counter, a gauge or a histogram says, of all subtasks of its operator together.
type Metric = job.Metric

// Metrics are the counters, gauges and histograms of the functions of a job that runs in this process, by hand or in a test. On
// a cluster they are in /metrics and in what perennial info tells, and here is nothing.
// Any goroutine may ask, while the job runs and after it.
type Metrics struct{ run atomic.Pointer[task.Execution] }

// Metrics returns where the job's metrics can be read once it runs; it may be kept.
func (e *Env) Metrics() *Metrics { return &e.metrics }

// Find returns the named metric of an operator; false: its function has not made one of that name.
func (m *Metrics) Find(operator, name string) (Metric, bool) {
	list := m.all()[operator]
	if i := slices.IndexFunc(list, func(m Metric) bool { return m.Name == name }); i >= 0 {
		return list[i], true
	}
	return Metric{}, false
}

// all returns the metrics of each operator.
func (m *Metrics) all() map[string][]Metric {
	all := map[string][]Metric{}
	x := m.run.Load()
	if x == nil {
		return all
	}
	_, counters := x.Progress()
	for _, c := range counters {
		for name, op := range c.Operators {
			all[name] = job.AddMetrics(all[name], op.Metrics)
		}
	}
	return all
}

// print writes a line for each metric, in the order of the plan.
func (m *Metrics) print(w io.Writer, g *job.Graph) {
	all := m.all()
	for _, v := range g.Vertices {
		for _, op := range v.Operators {
			for _, metric := range all[op.Name] {
				fmt.Fprintf(w, "operator %q: %v\n", op.Name, metric)
			}
		}
	}
}
