// Package alerts holds the alert rules and the dashboard of deploy/ against Prometheus' own engine: each rule fires where it is to
// and is silent where it is not, and each panel shows something. It is a module of its own, run by make test.
package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"go.yaml.in/yaml/v3"
)

type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/perennial.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil || len(file.Groups) != 1 {
		t.Fatal(err, file)
	}
	return file.Groups[0].Rules
}

// job are labels that all series of a job have.
const job = `job_id="1",job_name="orders"`

// cases are, for each alert, series with which it fires an hour after their beginning, and others with which it does not. They are as
// promqltest reads them: a value each minute.
var cases = map[string]struct{ fires, silent []string }{
	"PerennialNoLeader": {
		fires:  []string{`perennial_jobmanager_is_leader{instance="a"} 1x57 0x10`, `perennial_jobmanager_is_leader{instance="b"} 0x70`},
		silent: []string{`perennial_jobmanager_is_leader{instance="a"} 1x70`, `perennial_jobmanager_is_leader{instance="b"} 0x70`},
	},
	"PerennialTwoLeaders": {
		fires:  []string{`perennial_jobmanager_is_leader{instance="a"} 1x70`, `perennial_jobmanager_is_leader{instance="b"} 0x50 1x20`},
		silent: []string{`perennial_jobmanager_is_leader{instance="a"} 1x59 0x10`, `perennial_jobmanager_is_leader{instance="b"} 0x58 1x10`}, // one scrape long
	},
	"PerennialLeaderChanges": {
		fires:  []string{`perennial_jobmanager_epoch{instance="a"} 1x45 2 3 4 5x20`},
		silent: []string{`perennial_jobmanager_epoch{instance="a"} 7x70`, `perennial_jobmanager_epoch{instance="b"} 7x40 0 7x30`}, // one was started again
	},
	"PerennialStorageFails": {
		fires:  []string{`perennial_jobmanager_storage_failures_total{instance="a"} 0x40 1+1x30`},
		silent: []string{`perennial_jobmanager_storage_failures_total{instance="a"} 0x55 1x20`},
	},
	"PerennialNoTaskManagers": {
		fires:  []string{`perennial_taskmanagers 3x50 0x20`},
		silent: []string{`perennial_taskmanagers 3x70`},
	},
	"PerennialTaskManagerPaused": {
		fires: []string{`perennial_taskmanager_paused{taskmanager="1",host="a"} 0x55 1x20`, `perennial_taskmanager_paused{taskmanager="2",host="b"} 0x70`},
		silent: []string{`perennial_taskmanager_paused{taskmanager="1",host="a"} _x59 1 0x10`, // it has just registered, and was granted nothing yet
			`perennial_taskmanager_paused{taskmanager="2",host="b"} 1x57 0x20`},
	},
	"PerennialJobWaitsForSlots": {
		fires:  []string{`perennial_job_slots_missing{` + job + `} 0x50 2x20`},
		silent: []string{`perennial_job_slots_missing{` + job + `} 2x57 0x20`},
	},
	"PerennialJobFailed": {
		fires:  []string{`perennial_job_state{` + job + `,state="RUNNING"} 1x57 _x20`, `perennial_job_state{` + job + `,state="FAILED"} _x57 1x10`},
		silent: []string{`perennial_job_state{` + job + `,state="CANCELED"} 1x70`},
	},
	"PerennialJobRestarts": {
		fires:  []string{`perennial_job_restarts_total{` + job + `} 0x50 1+1x20`},
		silent: []string{`perennial_job_restarts_total{` + job + `} 0x55 1x20`},
	},
	"PerennialCheckpointTooOld": {
		fires: []string{`perennial_job_state{` + job + `,state="RUNNING"} 1x70`, `perennial_job_last_checkpoint_completed_timestamp_seconds{` + job + `} 0+60x40 2400x30`},
		silent: []string{`perennial_job_state{` + job + `,state="RUNNING"} 1x70`, `perennial_job_last_checkpoint_completed_timestamp_seconds{` + job + `} 0+60x70`,
			`perennial_job_state{job_id="2",job_name="ended",state="FINISHED"} 1x70`, `perennial_job_last_checkpoint_completed_timestamp_seconds{job_id="2",job_name="ended"} 60x70`},
	},
	"PerennialNoCheckpoint": { // one that hangs until its time-out, again and again: of the other two neither age nor number speaks
		fires: []string{`perennial_job_state{` + job + `,state="RUNNING"} 1x70`, `perennial_job_checkpoints_completed_total{` + job + `} 0x70`},
		silent: []string{`perennial_job_state{` + job + `,state="RUNNING"} 1x70`, `perennial_job_checkpoints_completed_total{` + job + `} 0x50 1x20`,
			`perennial_job_state{job_id="2",job_name="batch",state="FINISHED"} 1x70`, `perennial_job_checkpoints_completed_total{job_id="2",job_name="batch"} 0x70`},
	},
	"PerennialCheckpointsAborted": {
		fires:  []string{`perennial_job_checkpoints_aborted_total{` + job + `} 0x50 1+1x20`},
		silent: []string{`perennial_job_checkpoints_aborted_total{` + job + `} 0x55 1x20`},
	},
	"PerennialBackPressure": {
		fires:  []string{`perennial_vertex_blocked_seconds_total{` + job + `,vertex="v"} 0+100x70`, `perennial_vertex_subtasks{` + job + `,vertex="v"} 2x70`},
		silent: []string{`perennial_vertex_blocked_seconds_total{` + job + `,vertex="v"} 0+100x70`, `perennial_vertex_subtasks{` + job + `,vertex="v"} 4x70`},
	},
	"PerennialRecordsGivenUp": {
		fires:  []string{`perennial_operator_records_skipped_total{` + job + `,operator="parse"} 0x55 3x20`},
		silent: []string{`perennial_operator_records_skipped_total{` + job + `,operator="parse"} 3x70`},
	},
}

// at is when it is asked whether an alert fires.
var at = time.Unix(3600, 0).UTC()

// TestAlerts: each rule has a case in which it fires and one in which it does not.
func TestAlerts(t *testing.T) {
	rules := readRules(t)
	if len(rules) != len(cases) {
		t.Errorf("%d rules and %d cases", len(rules), len(cases))
	}
	for _, r := range rules {
		c, there := cases[r.Alert]
		if !there || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s has no case, severity or summary", r.Alert)
			continue
		}
		if !r.fires(t, c.fires) {
			t.Errorf("%s does not fire with %v", r.Alert, c.fires)
		}
		if r.fires(t, c.silent) {
			t.Errorf("%s fires with %v", r.Alert, c.silent)
		}
	}
}

// fires reports whether the expression has had a result for as long as the rule says, each quarter of a minute.
func (r rule) fires(t *testing.T, series []string) bool {
	t.Helper()
	wait := time.Duration(0)
	if r.For != "" {
		var err error
		if wait, err = time.ParseDuration(r.For); err != nil {
			t.Fatal(r.Alert, err)
		}
	}
	ask := load(t, "1m", series)
	for when := at.Add(-wait); !when.After(at); when = when.Add(15 * time.Second) {
		if ask(r.Expr, when) == 0 {
			return false
		}
	}
	return true
}

// load stores series and returns what tells how many an expression has as its result.
func load(t *testing.T, step string, series []string) func(expr string, when time.Time) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load "+step+"\n  "+strings.Join(series, "\n  ")+"\n")
	t.Cleanup(func() { storage.Close() })
	engine := promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	return func(expr string, when time.Time) int {
		t.Helper()
		q, err := engine.NewInstantQuery(context.Background(), storage, nil, expr, when)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		defer q.Close()
		result := q.Exec(context.Background())
		if result.Err != nil {
			t.Fatalf("%s: %v", expr, result.Err)
		}
		v, ok := result.Value.(promql.Vector)
		if !ok {
			t.Fatalf("%s: the result is a %v", expr, result.Value.Type())
		}
		return len(v)
	}
}

// TestDashboard: each panel shows something of what a leader says.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../deploy/grafana/perennial.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	series := append(said(t, "leader.txt"), said(t, "user.txt")...)
	series = append(series, `process_cpu_seconds_total{instance="a"} 0+1x200`, `process_resident_memory_bytes{instance="a"} 1x200`)
	ask, panels := load(t, "15s", series), 0
	variables := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*")
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			panels++
			if n := ask(variables.Replace(target.Expr), time.Unix(600, 0)); n == 0 {
				t.Errorf("%q shows nothing: %s", p.Title, target.Expr)
			}
		}
	}
	if panels < 20 {
		t.Errorf("there are %d expressions", panels)
	}
}

var sample = regexp.MustCompile(`^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$`)

// said reads what a leader said in a test of internal/rest, as if it had said it for a while.
func said(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile("../rest/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var series []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s: %q cannot be read", file, line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		labels := strings.Trim(strings.ReplaceAll(m[2], "\uFFFD", "?")+`,instance="a"`, ",")
		series = append(series, fmt.Sprintf("%s{%s} %sx200", m[1], labels, strconv.FormatFloat(v, 'f', -1, 64)))
	}
	return series
}
