package operator

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/perennial-io/perennial/internal/job"
)

// TestMetricsOfASubtask: one name is one metric, however often it is asked for, and it says what was added.
func TestMetricsOfASubtask(t *testing.T) {
	w := NewWiring(context.Background(), ContextConfig{})
	c := w.Context("check")
	c.Counter("late").Add(2)
	w.Context("check").With(context.Background()).Counter("late").Inc()
	g, h := c.Gauge("queue"), c.Histogram("size", 1, 10)
	g.Set(4)
	g.Add(-1.5)
	for _, v := range []float64{0.5, 1, 10, 11, 12} {
		h.Observe(v)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} { // JSON knows neither
		g.Set(v)
		g.Add(v)
		h.Observe(v)
	}
	want := []job.Metric{
		{Name: "late", Kind: job.CounterMetric, Count: 3},
		{Name: "queue", Kind: job.GaugeMetric, Value: 2.5},
		{Name: "size", Kind: job.HistogramMetric, Count: 5, Value: 34.5, Bounds: []float64{1, 10}, Buckets: []uint64{2, 1, 2}},
	}
	if diff := cmp.Diff(want, w.Operators()["check"].Metrics); diff != "" || w.Refused() != nil {
		t.Error(diff, w.Refused())
	}
}

// TestMetricsThatCannotBe: each is told with the limit that it meets, and can be used until the function returns.
func TestMetricsThatCannotBe(t *testing.T) {
	for want, ask := range map[string]func(c *Context){
		`metric "Late": expected a name of a-z, 0-9 and _`: func(c *Context) { c.Counter("Late").Inc() },
		`at most 64 long`:                            func(c *Context) { c.Counter(strings.Repeat("n", 65)).Inc() },
		`names that end in _total for itself`:        func(c *Context) { c.Counter("late_total").Inc() },
		`"late" is a counter and a gauge`:            func(c *Context) { c.Counter("late"); c.Gauge("late").Set(1) },
		`has 33 bounds, but a histogram has 1 to 32`: func(c *Context) { c.Histogram("h", make([]float64, 33)...).Observe(1) },
		`bound 1: expected finite numbers that rise`: func(c *Context) { c.Histogram("h", 2, 1).Observe(1) },
		`the bounds [1] and [2]`:                     func(c *Context) { c.Histogram("h", 1); c.Histogram("h", 2).Observe(1) },
		`the functions of a job may have 256`: func(c *Context) {
			for i := range job.MostMetrics + 1 {
				c.Counter(fmt.Sprint("n", i)).Inc()
			}
		},
	} {
		w := NewWiring(context.Background(), ContextConfig{})
		ask(w.Context("check"))
		if err := w.Refused(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if n := len(w.Operators()["check"].Metrics); n > job.MostMetrics {
			t.Errorf("%d metrics are told", n)
		}
	}
}

// TestMetricNamesOfAJob: all subtasks of a process together have no more names than one job may have.
func TestMetricNamesOfAJob(t *testing.T) {
	names := new(MetricNames)
	for subtask := range 2 {
		w := NewWiring(context.Background(), ContextConfig{Subtask: subtask, Metrics: names})
		for i := range job.MostMetrics {
			w.Context("check").Counter(fmt.Sprint("n", i))
		}
		if err := w.Refused(); err != nil {
			t.Fatal(err)
		}
	}
	w := NewWiring(context.Background(), ContextConfig{Metrics: names})
	w.Context("another").Counter("n0")
	if w.Refused() == nil {
		t.Error("one more was made")
	}
}

// TestMetricsOfAKeyedOperator: what cannot be is told when the job is planned.
func TestMetricsOfAKeyedOperator(t *testing.T) {
	open := func(name string) func(o *KeyedOperator[string, int]) []any {
		return func(o *KeyedOperator[string, int]) []any {
			o.Counter(name).Inc()
			return nil
		}
	}
	if _, err := DescribeKeyed(open("late")); err != nil {
		t.Error(err)
	}
	if _, err := DescribeKeyed(open("too late")); err == nil || !strings.Contains(err.Error(), `metric "too late"`) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkCounter is to cost an atomic addition, and a histogram few more, without an allocation.
func BenchmarkCounter(b *testing.B) {
	c := NewWiring(context.Background(), ContextConfig{}).Context("check")
	b.Run("atomic", func(b *testing.B) { // the yardstick
		n := new(atomic.Uint64)
		for b.Loop() {
			n.Add(1)
		}
	})
	b.Run("counter", func(b *testing.B) {
		n := c.Counter("n")
		for b.Loop() {
			n.Inc()
		}
	})
	b.Run("gauge", func(b *testing.B) {
		g := c.Gauge("g")
		for b.Loop() {
			g.Set(1)
		}
	})
	b.Run("histogram", func(b *testing.B) {
		h := c.Histogram("h")
		for b.Loop() {
			h.Observe(0.03)
		}
	})
}
