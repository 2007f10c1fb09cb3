package rest

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager"
)

var update = flag.Bool("update", false, "write testdata and docs/metrics.md anew")

// scrape is what Prometheus would be told.
func scrape(t *testing.T, f jobmanager.Figures) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	figures := func() jobmanager.Figures { return f }
	registry.MustRegister(newCollector(figures), userCollector{figures})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("not as Prometheus would have it: %v %v", problems, err)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s tells otherwise (%v); go test ./internal/rest -update writes it anew. This run:\n%s", path, err, got)
	}
}

// busyJob has something to tell of every family.
func busyJob() *api.Job {
	completed := time.Unix(1_700_000_000, 250e6).UTC()
	return &api.Job{
		Summary: api.Summary{ID: "0193b6a5c2d07cf2a1b2c3d4e5f60718", Name: "orders \"eu\"", State: job.Running},
		Attempt: 3, Restarts: 2,
		Checkpoints: api.Checkpoints{
			Completed:   []api.Checkpoint{{ID: 17, Completed: completed, Millis: 42.5, PausedMillis: 0.75, Size: 123456}, {ID: 16}},
			Completions: 15, InProgress: 18, Aborted: 1, Restored: 9,
		},
		Vertices: []api.Vertex{
			{Name: "lines splits", Parallelism: 1, IdleSeconds: 60, Operators: []api.Operator{{Name: "lines splits", RecordsOut: 4}}},
			{Name: "lines -> parse -> parse dead letters -> rejected", Parallelism: 4, BusySeconds: 12.5, BlockedSeconds: 1.25, IdleSeconds: 200, Operators: []api.Operator{
				{Name: "lines", RecordsOut: 1000}, {Name: "parse", RecordsIn: 1000, RecordsOut: 990, Skipped: 10},
				{Name: "parse dead letters", RecordsOut: 10}, {Name: "rejected", RecordsIn: 10},
			}},
		},
	}
}

// TestMetricsOfLeader: a scrape of a leader, all of it.
func TestMetricsOfLeader(t *testing.T) {
	waiting := &api.Job{Summary: api.Summary{ID: "0193b6a5c2d07cf2a1b2c3d4e5f60719", Name: "not utf-8: \xff", State: job.Created}, SlotsMissing: 2, LeaseWait: &api.LeaseWait{TaskManager: "tm-c"}}
	golden(t, "testdata/leader.txt", scrape(t, jobmanager.Figures{
		Self:      api.Self{Epoch: 7, Version: "0.1", Takeover: &api.Takeover{ClaimMillis: 3, ReadMillis: 4.5, AskedMillis: 5, AdoptedMillis: 12.5, ServingMillis: 6}},
		Takeovers: 1, StorageFailures: 3,
		Led: &jobmanager.LedFigures{
			Cluster: api.Cluster{TaskManagers: 2, Slots: 8, SlotsFree: 4},
			TaskManagers: []api.TaskManager{
				{ID: "tm-a", Host: "host-a", Connected: true, Slots: 4, SlotsFree: 1, Load: &api.Load{Average: 1.5, Processes: 2, Memory: 64 << 20}, Lease: &api.Lease{Seconds: 10, Left: new(9.5)}},
				{ID: "tm-b", Host: "host-b", Slots: 4, Draining: true},
			},
			States: map[job.State]int{job.Running: 1, job.Created: 1, job.Finished: 40},
			Jobs:   []*api.Job{busyJob(), waiting},
		},
	}))
}

// TestMetricsOfStandby: it says what it knows, and that it does not lead.
func TestMetricsOfStandby(t *testing.T) {
	golden(t, "testdata/standby.txt", scrape(t, jobmanager.Figures{Self: api.Self{Epoch: 7, Version: "0.1"}}))
}

// TestMetricsPage: docs/metrics.md lists every family as it is.
func TestMetricsPage(t *testing.T) {
	const path, begin, end = "../../docs/metrics.md", "<!-- written by go test ./internal/rest -update -->\n", "<!-- to here -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the list", path)
	}
	var list strings.Builder
	list.WriteString("\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	rows(&list, ownFamilies, nil)
	rows(&list, taskManagerFamilies, taskManagerLabels)
	rows(&list, jobFamilies, jobLabels)
	list.WriteString("\n")
	golden(t, path, before+begin+list.String()+end+after)
}

func rows[T any](to *strings.Builder, families []family[T], common []string) {
	for _, f := range families {
		kind := map[prometheus.ValueType]string{counter: "counter", gauge: "gauge"}[f.kind]
		labels := strings.Join(append(append([]string{}, common...), f.labels...), ", ")
		fmt.Fprintf(to, "| `%s` | %s | %s | %s |\n", f.name, kind, cmp.Or(labels, "–"), f.help)
	}
}
