package operator

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
)

// Counter counts what a user function sees, in one subtask. Any goroutine may add to it.
type Counter struct {
	n atomic.Uint64
	_ [56]byte // a cache line of its own: subtasks do not wait for each other
}

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Inc adds 1.
func (c *Counter) Inc() { c.n.Add(1) }

// Gauge is a value that rises and falls, in one subtask. Any goroutine may set it. The values of all subtasks
// are added up where it is shown: let it be something of which the sum says something, such as what waits somewhere.
type Gauge struct {
	bits atomic.Uint64
	_    [56]byte
}

// Set sets the value. It takes no notice of one that is infinite or not a number.
func (g *Gauge) Set(v float64) {
	if isFinite(v) {
		g.bits.Store(math.Float64bits(v))
	}
}

// Add adds to the value, or takes away. It takes no notice of what is infinite or not a number.
func (g *Gauge) Add(v float64) {
	if isFinite(v) {
		addFloat(&g.bits, v)
	}
}

// Histogram counts values by size, in one subtask. Any goroutine may add to it.
type Histogram struct {
	bounds  []float64
	sum     atomic.Uint64 // bits of a float64
	buckets []atomic.Uint64
}

func newHistogram(bounds []float64) *Histogram {
	return &Histogram{bounds: bounds, buckets: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe adds a value. It takes no notice of one that is infinite or not a number.
func (h *Histogram) Observe(v float64) {
	if !isFinite(v) {
		return
	}
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	addFloat(&h.sum, v)
}

func isFinite(v float64) bool { return v-v == 0 }

func addFloat(bits *atomic.Uint64, v float64) {
	for {
		old := bits.Load()
		sum := math.Float64frombits(old) + v
		if !isFinite(sum) || bits.CompareAndSwap(old, math.Float64bits(sum)) {
			return
		}
	}
}

// seconds are the bounds of a histogram that names none, from 5 ms to 10 s.
var seconds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// MetricNames are the metrics of user functions in one process: how many there are is bounded, a name means one kind
// in all of the job, and the buckets of a histogram are the same in all subtasks of its operator.
type MetricNames struct {
	mu    sync.Mutex
	kinds map[string]job.MetricKind
	known map[metricKey][]float64 // its bounds
}

type metricKey struct{ operator, name string }

// enter notes a metric, or says why it cannot be.
func (n *MetricNames) enter(key metricKey, kind job.MetricKind, bounds []float64) error {
	if err := job.CheckMetric(key.name, kind, bounds); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kinds == nil {
		n.kinds, n.known = map[string]job.MetricKind{}, map[metricKey][]float64{}
	}
	if other, there := n.kinds[key.name]; there && other != kind {
		return fmt.Errorf("metric %q is a %s and a %s; give each a name of its own", key.name, other, kind)
	}
	before, there := n.known[key]
	switch {
	case there && !slices.Equal(before, bounds):
		return fmt.Errorf("metric %q has the bounds %v and %v; they must be the same in all subtasks", key.name, before, bounds)
	case !there && len(n.known) >= job.MostMetrics:
		return fmt.Errorf("metric %q is one too many: the functions of a job may have %d, each counted once for each operator", key.name, job.MostMetrics)
	}
	n.kinds[key.name], n.known[key] = kind, bounds
	return nil
}

// metrics are those of one operator in one subtask. They are made while it is wired, as a rule, and read by
// whoever tells of progress.
type metrics struct {
	operator string
	names    *MetricNames
	refused  *atomic.Pointer[error] // the first that could not be made, of the subtask

	mu   sync.Mutex
	list []metric
}

// metric is a *Counter, a *Gauge or a *Histogram, whichever is not nil.
type metric struct {
	name      string
	counter   *Counter
	gauge     *Gauge
	histogram *Histogram
}

// lonely are the metrics of an operator that no subtask has: nobody reads them.
func lonely(operator string) *metrics {
	return &metrics{operator: operator, names: new(MetricNames), refused: new(atomic.Pointer[error])}
}

// of returns the metric of that name, which is made when it is first asked for. One that cannot be is of use all the same, so
// that the function which asked goes on until it returns; then the subtask fails.
func (m *metrics) of(name string, kind job.MetricKind, bounds []float64) metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.names.enter(metricKey{m.operator, name}, kind, bounds)
	if i := slices.IndexFunc(m.list, func(o metric) bool { return o.name == name }); err == nil && i >= 0 {
		return m.list[i]
	}
	made := metric{name: name}
	switch kind {
	case job.CounterMetric:
		made.counter = new(Counter)
	case job.GaugeMetric:
		made.gauge = new(Gauge)
	case job.HistogramMetric:
		made.histogram = newHistogram(bounds)
	}
	if err != nil {
		m.refused.CompareAndSwap(nil, &err)
		return made
	}
	m.list = append(m.list, made)
	return made
}

func (m *metrics) counter(name string) *Counter { return m.of(name, job.CounterMetric, nil).counter }
func (m *metrics) gauge(name string) *Gauge     { return m.of(name, job.GaugeMetric, nil).gauge }

func (m *metrics) histogram(name string, bounds []float64) *Histogram {
	if len(bounds) == 0 {
		bounds = seconds
	}
	return m.of(name, job.HistogramMetric, slices.Clone(bounds)).histogram
}

// err is why one could not be made; nil: all could.
func (m *metrics) err() error {
	if err := m.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// read returns what they are now, in the order in which they were made.
func (m *metrics) read() []job.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []job.Metric
	for i := range m.list {
		list = append(list, m.list[i].read())
	}
	return list
}

func (m *metric) read() job.Metric {
	switch {
	case m.counter != nil:
		return job.Metric{Name: m.name, Kind: job.CounterMetric, Count: m.counter.n.Load()}
	case m.gauge != nil:
		return job.Metric{Name: m.name, Kind: job.GaugeMetric, Value: math.Float64frombits(m.gauge.bits.Load())}
	}
	h := m.histogram
	r := job.Metric{
		Name: m.name, Kind: job.HistogramMetric, Value: math.Float64frombits(h.sum.Load()),
		Bounds: h.bounds, Buckets: make([]uint64, len(h.buckets)),
	}
	for i := range h.buckets {
		r.Buckets[i] = h.buckets[i].Load()
		r.Count += r.Buckets[i]
	}
	return r
}

// Counter returns the operator's counter of that name, of this subtask. It is for where functions are made, once for each
// subtask; what is called for each record adds to it. Names are of a-z, 0-9 and _, and mean the same kind of metric in all of the
// job. In /metrics it is perennial_user_NAME_total. It begins at 0 with each attempt of the subtask.
//
// A job may have 256 metrics, where one name counts once for each operator that has it. A metric that cannot be fails the job, with an
// error that says why.
func (c *Context) Counter(name string) *Counter { return c.metrics.counter(name) }

// Gauge is [Context.Counter] for a value that rises and falls. In /metrics it is perennial_user_NAME, the sum of all subtasks.
func (c *Context) Gauge(name string) *Gauge { return c.metrics.gauge(name) }

// Histogram is [Context.Counter] for the sizes of values, such as seconds or bytes. The bounds of its buckets rise, and there are at most 32;
// without any they are from 5 ms to 10 s, in seconds. In /metrics it is perennial_user_NAME_bucket, _sum and _count.
func (c *Context) Histogram(name string, bounds ...float64) *Histogram {
	return c.metrics.histogram(name, bounds)
}

// Counter returns the operator's counter of that name, as [Context.Counter] does; it is for the function that opens states.
func (o *KeyedOperator[K, R]) Counter(name string) *Counter { return o.metrics().counter(name) }

// Gauge returns the operator's gauge of that name, as [Context.Gauge] does.
func (o *KeyedOperator[K, R]) Gauge(name string) *Gauge { return o.metrics().gauge(name) }

// Histogram returns the operator's histogram of that name, as [Context.Histogram] does.
func (o *KeyedOperator[K, R]) Histogram(name string, bounds ...float64) *Histogram {
	return o.metrics().histogram(name, bounds)
}

// metrics are those of the subtask, or while the job is planned some that nobody reads.
func (o *KeyedOperator[K, R]) metrics() *metrics {
	if o.ctx != nil {
		return o.ctx.metrics
	}
	if o.planned == nil {
		o.planned = lonely(o.name)
	}
	return o.planned
}

// Refused returns why a metric that a function of the subtask asked for could not be made; nil: none was. Any goroutine may call it.
func (w *Wiring) Refused() error {
	if err := w.refused.Load(); err != nil {
		return *err
	}
	return nil
}
