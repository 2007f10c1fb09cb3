package rest

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager"
)

// counting is a job whose function counts.
func counting(id job.ID, metrics ...job.Metric) *api.Job {
	return &api.Job{
		Summary:  api.Summary{ID: id, Name: "orders", State: job.Running},
		Vertices: []api.Vertex{{Name: "in -> check", Parallelism: 1, Operators: []api.Operator{{Name: "in"}, {Name: "check", Metrics: metrics}}}},
	}
}

// TestUserMetrics: what functions count, in the words of Prometheus; and a name that two jobs give to two kinds is that of the older job.
func TestUserMetrics(t *testing.T) {
	first := counting("01", job.Metric{Name: "late", Kind: job.CounterMetric, Count: 7}, job.Metric{Name: "queue", Kind: job.GaugeMetric, Value: 2.5},
		job.Metric{Name: "size_bytes", Kind: job.HistogramMetric, Count: 6, Value: 99, Bounds: []float64{1, 10}, Buckets: []uint64{1, 2, 3}})
	second := counting("02", job.Metric{Name: "late", Kind: job.CounterMetric, Count: 1}, job.Metric{Name: "queue", Kind: job.HistogramMetric, Bounds: []float64{1}, Buckets: []uint64{0, 0}})
	said := scrape(t, jobmanager.Figures{Led: &jobmanager.LedFigures{Jobs: []*api.Job{second, first}}}) // the newest first
	var lines []string
	for line := range strings.Lines(said) {
		if strings.Contains(line, userPrefix) {
			lines = append(lines, line)
		}
	}
	golden(t, "testdata/user.txt", strings.Join(lines, ""))
}
