package job

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// The bounds of what user functions count: it travels every second, and is kept by Prometheus.
const (
	MostMetrics    = 256 // of a job: names, each counted once for each operator that has it
	MostBuckets    = 32  // of a histogram, beside the one for what is above all bounds
	MostMetricName = 64  // bytes of a name
)

// MetricKind is what a metric of a user function is.
type MetricKind string

// The kinds.
const (
	CounterMetric   MetricKind = "counter"
	GaugeMetric     MetricKind = "gauge"
	HistogramMetric MetricKind = "histogram"
)

// Metric is what one operator's function has counted or measured: in one subtask, or in several together.
type Metric struct {
	Name  string     `json:"name"`
	Kind  MetricKind `json:"kind"`
	Count uint64     `json:"count,omitempty"` // of a counter; of a histogram, how often it was added to
	Value float64    `json:"value,omitempty"` // of a gauge; of a histogram, the sum of what was added
	// Bounds are a histogram's, rising. Buckets has one number more: Buckets[i] is how often a value was above
	// Bounds[i-1] and not above Bounds[i].
	Bounds  []float64 `json:"bounds,omitempty"`
	Buckets []uint64  `json:"buckets,omitempty"`
}

// String is the metric as a person reads it: late 12, or latency 3.5 in 7.
func (m Metric) String() string {
	switch m.Kind {
	case GaugeMetric:
		return fmt.Sprintf("%s %g", m.Name, m.Value)
	case HistogramMetric:
		return fmt.Sprintf("%s %g in %d", m.Name, m.Value, m.Count)
	}
	return fmt.Sprintf("%s %d", m.Name, m.Count)
}

var metricName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// CheckMetric returns what is wrong with a name, and with the bounds of a histogram.
func CheckMetric(name string, kind MetricKind, bounds []float64) error {
	if !metricName.MatchString(name) || len(name) > MostMetricName {
		return fmt.Errorf("metric %q: expected a name of a-z, 0-9 and _ that begins with a letter, at most %d long", name, MostMetricName)
	}
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
		if strings.HasSuffix(name, suffix) {
			return fmt.Errorf("metric %q: Prometheus keeps names that end in %s for itself; leave that away, a counter gets its _total", name, suffix)
		}
	}
	if kind != HistogramMetric {
		return nil
	}
	if len(bounds) == 0 || len(bounds) > MostBuckets {
		return fmt.Errorf("metric %q has %d bounds, but a histogram has 1 to %d", name, len(bounds), MostBuckets)
	}
	for i, b := range bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= bounds[i-1] {
			return fmt.Errorf("metric %q: bound %v: expected finite numbers that rise", name, b)
		}
	}
	return nil
}

// check tells whether a metric that came from a task process is as one should be.
func (m *Metric) check() bool {
	switch m.Kind {
	case CounterMetric, GaugeMetric:
	case HistogramMetric:
		if len(m.Buckets) != len(m.Bounds)+1 {
			return false
		}
	default:
		return false
	}
	return CheckMetric(m.Name, m.Kind, m.Bounds) == nil
}

// ValidMetrics returns those of a list that are as metrics should be, sharing its memory; no more than MostMetrics.
func ValidMetrics(list []Metric) []Metric {
	list = slices.DeleteFunc(list, func(m Metric) bool { return !m.check() })
	return list[:min(len(list), MostMetrics)]
}

// AddMetrics returns sum with a list added to it: metrics of one name and kind become one, of several subtasks. Sum is
// changed, the list is not. A histogram of other bounds than its namesake's is left out.
func AddMetrics(sum, list []Metric) []Metric {
	for _, m := range list {
		i := slices.IndexFunc(sum, func(s Metric) bool { return s.Name == m.Name })
		if i < 0 {
			m.Buckets = slices.Clone(m.Buckets)
			sum = append(sum, m)
			continue
		}
		s := &sum[i]
		if s.Kind != m.Kind || !slices.Equal(s.Bounds, m.Bounds) {
			continue
		}
		s.Count += m.Count
		s.Value = finite(s.Value + m.Value)
		for b := range m.Buckets {
			s.Buckets[b] += m.Buckets[b]
		}
	}
	return sum
}

// finite keeps a sum within what JSON knows.
func finite(v float64) float64 { return max(-math.MaxFloat64, min(v, math.MaxFloat64)) }
