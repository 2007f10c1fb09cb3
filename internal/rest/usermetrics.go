package rest

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager"
)

// userPrefix is before the names of what user functions count.
const userPrefix = "perennial_user_"

// userLabels are those of each of their series.
var userLabels = append(slices.Clone(jobLabels), "vertex", "operator")

// userCollector reads what the functions of jobs count. Nobody knows beforehand what that is, so it describes
// nothing.
//
// To Prometheus a name is of one kind. Where two jobs disagree, the one that was submitted first has it, and what the other counts is
// shown by perennial info alone.
type userCollector struct{ figures func() jobmanager.Figures }

// Describe names none.
func (userCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads them.
func (c userCollector) Collect(to chan<- prometheus.Metric) {
	f := c.figures()
	if f.Led == nil {
		return
	}
	kinds := map[string]job.MetricKind{} // by name of a family
	for _, j := range slices.Backward(f.Led.Jobs) {
		eachUserMetric(j, func(m *job.Metric, vertex, operator string) {
			name := familyOf(m)
			if kind, taken := kinds[name]; taken && kind != m.Kind {
				return
			}
			kinds[name] = m.Kind
			to <- userSeries(name, m, valid([]string{string(j.ID), j.Name, vertex, operator}))
		})
	}
}

func eachUserMetric(j *api.Job, f func(m *job.Metric, vertex, operator string)) {
	for v := range j.Vertices {
		for _, op := range j.Vertices[v].Operators {
			for i := range op.Metrics {
				f(&op.Metrics[i], j.Vertices[v].Name, op.Name)
			}
		}
	}
}

func familyOf(m *job.Metric) string {
	if m.Kind == job.CounterMetric {
		return userPrefix + m.Name + "_total"
	}
	return userPrefix + m.Name
}

func userSeries(name string, m *job.Metric, labels []string) prometheus.Metric {
	desc := prometheus.NewDesc(name, "A "+string(m.Kind)+" of user functions.", userLabels, nil)
	var series prometheus.Metric
	var err error
	switch m.Kind {
	case job.CounterMetric:
		series, err = prometheus.NewConstMetric(desc, counter, float64(m.Count), labels...)
	case job.HistogramMetric:
		series, err = prometheus.NewConstHistogram(desc, m.Count, m.Value, cumulative(m), labels...)
	default:
		series, err = prometheus.NewConstMetric(desc, gauge, m.Value, labels...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return series
}

// cumulative is how many values were not above each bound.
func cumulative(m *job.Metric) map[float64]uint64 {
	buckets, sum := make(map[float64]uint64, len(m.Bounds)), uint64(0)
	for i, bound := range m.Bounds {
		sum += m.Buckets[i]
		buckets[bound] = sum
	}
	return buckets
}
