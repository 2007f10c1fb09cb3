package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
)

// listed is list --json.
func listed(t *testing.T) []client.Summary {
	t.Helper()
	var all []client.Summary
	decoded(t, &all, "list", "--json")
	return all
}

// info is info --json.
func info(t *testing.T, id string) client.Job {
	t.Helper()
	var j client.Job
	decoded(t, &j, "info", "--json", id)
	return j
}

// decoded asks, and decodes the answer.
func decoded(t *testing.T, into any, args ...string) {
	t.Helper()
	r := asked(t, args...)
	r.expect(t, 0)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, r.stdout)
	}
}

func restPort(t *testing.T) string {
	t.Helper()
	return shared.Rest[0][strings.LastIndex(shared.Rest[0], ":")+1:]
}

// has requires keys, each with a value of the JSON type that is named.
func has(t *testing.T, what string, object any, keys map[string]string) {
	t.Helper()
	m, ok := object.(map[string]any)
	if !ok {
		t.Errorf("%s is no object: %v", what, object)
		return
	}
	for key, want := range keys {
		value, there := m[key]
		if got := fmt.Sprintf("%T", value); !there || !slices.Contains(strings.Split(want, "|"), got) {
			t.Errorf("%s: %q is %v (%s, there: %v), want %s; keys are %q", what, key, value, got, there, want, slices.Sorted(maps.Keys(m)))
		}
	}
}

const (
	aText   = "string"
	aNumber = "float64"
	aList   = "[]interface {}"
	aNull   = "<nil>"
)

// TestShapes: what scripts rely on.
func TestShapes(t *testing.T) {
	id := strings.TrimSpace(asked(t, "run", "-d", "-p", "2", binaries.mistakes, "--", "--what", "never ends").stdout)
	defer func() { asked(t, "cancel", id).expect(t, 0) }()

	var managers []any
	decoded(t, &managers, "jobmanagers", "--json")
	if len(managers) != 1 {
		t.Fatalf("jobmanagers: %v", managers)
	}
	has(t, "jobmanagers[0]", managers[0], map[string]string{
		"id": aText, "address": aText, "rest": aText, "role": aText, "epoch": aNumber, "since": aText, "pid": aNumber, "host": aText,
	})

	var hosts []any
	decoded(t, &hosts, "taskmanagers", "--json")
	for _, h := range hosts {
		has(t, "taskmanagers[…]", h, map[string]string{
			"id": aText, "host": aText, "address": aText, "pid": aNumber, "version": aText, "connected": "bool", "since": aText,
			"slots": aNumber, "slotsFree": aNumber, "jobs": aList,
		})
	}
	if len(hosts) == 0 {
		t.Error("no TaskManager is listed")
	}

	var jobs []any
	decoded(t, &jobs, "list", "--json")
	if len(jobs) == 0 {
		t.Fatal("no job is listed")
	}
	for _, j := range jobs {
		has(t, "list[…]", j, map[string]string{
			"id": aText, "name": aText, "state": aText, "submitted": aText, "finished": aNull + "|" + aText, "parallelism": aNumber,
		})
	}

	var one map[string]any
	decoded(t, &one, "info", "--json", id)
	has(t, "info", one, map[string]string{"id": aText, "name": aText, "state": aText, "attempt": aNumber, "restarts": aNumber, "vertices": aList})
	vertices, _ := one["vertices"].([]any)
	if len(vertices) == 0 {
		t.Fatalf("info: no vertices: %v", one)
	}
	for _, v := range vertices {
		has(t, "vertices[…]", v, map[string]string{"name": aText, "parallelism": aNumber, "recordsIn": aNumber, "recordsOut": aNumber, "subtasks": aList})
		vertex, _ := v.(map[string]any)
		subtasks, _ := vertex["subtasks"].([]any)
		for _, s := range subtasks {
			has(t, "subtasks[…]", s, map[string]string{"index": aNumber, "attempt": aNumber, "state": aText, "taskmanager": aText, "pid": aNumber})
		}
	}
	if s, a := one["state"], one["attempt"]; s != "RUNNING" || a != float64(1) {
		t.Errorf("info: state %v, attempts %v", s, a)
	}
}

// TestIDs: a detached run prints the id alone; its beginning or end does, when it is one job's.
func TestIDs(t *testing.T) {
	r := asked(t, "run", "-d", binaries.mistakes, "--", "--what", "never ends")
	r.expect(t, 0)
	if !regexp.MustCompile(`^[0-9a-f]{32}\n$`).MatchString(r.stdout) || r.stderr != "" {
		t.Fatalf("standard output %q, standard error %q; want an id alone", r.stdout, r.stderr)
	}
	id := strings.TrimSpace(r.stdout)
	for _, part := range []string{id, id[:31], id[20:], id[24:]} {
		if got := asked(t, "info", part); got.status != 0 || !strings.HasPrefix(got.stdout, id) {
			t.Errorf("info %s: %+v", part, got)
		}
	}
	second := strings.TrimSpace(asked(t, "run", "-d", binaries.mistakes, "--", "--what", "none").stdout)
	asked(t, "info", id[:1]).expect(t, exitFailed, "could be any of", "give more of the id")
	asked(t, "info", "xyz").expect(t, exitFailed, `"xyz"`, "list shows them all")
	asked(t, "info", "").expect(t, exitFailed, "which job?")
	asked(t, "cancel", strings.Repeat("0", 32)).expect(t, exitFailed, "there is no job 0000")

	for range 2 {
		got := asked(t, "cancel", id[24:])
		got.expect(t, 0)
		if want := "job " + id + " is CANCELED\n"; got.stdout != want {
			t.Errorf("cancel: %q, want %q", got.stdout, want)
		}
	}
	ended(t, second)
	if got := asked(t, "cancel", second); got.status != 0 || !strings.Contains(got.stdout, "is FINISHED") {
		t.Errorf("cancelling a job that has finished: %+v", got)
	}
}

// TestTables: the same for people.
func TestTables(t *testing.T) {
	id := strings.TrimSpace(asked(t, "run", "-d", binaries.mistakes, "--", "--what", "none").stdout)
	ended(t, id)
	for command, want := range map[string][]string{
		"list":         {"ID ", "STATE ", id, "FINISHED", "mistakes"},
		"taskmanagers": {"SLOTS ", "LOAD ", "tm-", "connected since "},
		"jobmanagers":  {"ROLE ", "EPOCH ", "leader", shared.Rest[0][strings.LastIndex(shared.Rest[0], ":"):]},
		"info " + id:   {"mistakes is FINISHED", "attempt 1, restarts 0", "VERTEX ", "words -> upper -> out", "SUBTASK "},
	} {
		r := asked(t, strings.Fields(command)...)
		r.expect(t, 0)
		for _, w := range want {
			if !strings.Contains(r.stdout, w) {
				t.Errorf("%s does not show %q:\n%s", command, w, r.stdout)
			}
		}
	}
}

// TestReach: a TaskManager is in reach or not, since when, and until when that is waited for.
func TestReach(t *testing.T) {
	since := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)
	dead, left := since.Add(10*time.Second), 9.25
	for want, row := range map[string]client.TaskManager{
		"connected since 2026-11-28 12:00:00":                               {Connected: true, Since: since},
		"connected since 2026-11-28 12:00:00, draining":                     {Connected: true, Since: since, Draining: true},
		"connected since 2026-11-28 12:00:00, lease 9.2s of 10s left":       {Connected: true, Since: since, Lease: &client.Lease{Seconds: 10, Left: &left}},
		"connected since 2026-11-28 12:00:00, paused: its lease is over":    {Connected: true, Since: since, Lease: &client.Lease{Seconds: 10, Left: new(0.0), Paused: true}},
		"out of reach since 2026-11-28 12:00:00, declared dead at 12:00:10": {Since: since, Dead: &dead},
	} {
		if got := reach(row); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestDrainOfNobody: what is there and is not drained is told.
func TestDrainOfNobody(t *testing.T) {
	asked(t, "taskmanager", "drain", "xyz").expect(t, exitFailed, "no TaskManager's id starts or ends with \"xyz\"")
	asked(t, "taskmanager", "drain").expect(t, exitUsage, "takes ID")
	asked(t, "taskmanager", "drain", "").expect(t, exitFailed, "taskmanagers shows them all")
}

// TestMetricsAreTold: info tells what user functions counted, as text and as JSON.
func TestMetricsAreTold(t *testing.T) {
	j := client.Job{Vertices: []client.Vertex{{Operators: []client.Operator{{Name: "parse", Metrics: []client.Metric{
		{Name: "late", Kind: "counter", Count: 3}, {Name: "queue", Kind: "gauge", Value: 2.5},
	}}}}}}
	var b strings.Builder
	if err := printJob(&b, j); err != nil {
		t.Fatal(err)
	}
	if want := "operator \"parse\": late 3\noperator \"parse\": queue 2.5\n"; !strings.Contains(b.String(), want) {
		t.Errorf("got %s\nwant it to contain %s", b.String(), want)
	}
	text, err := json.Marshal(j)
	if want := `"metrics":[{"name":"late","kind":"counter","count":3},{"name":"queue","kind":"gauge","value":2.5}]`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("got %s, %v\nwant it to contain %s", text, err, want)
	}
}

// TestSkippedIsTold: info tells of operators that gave records up, and of those alone.
func TestSkippedIsTold(t *testing.T) {
	var b strings.Builder
	err := printJob(&b, client.Job{Vertices: []client.Vertex{{Name: "in -> parse", Operators: []client.Operator{
		{Name: "in", RecordsOut: 7}, {Name: "parse", RecordsIn: 7, RecordsOut: 5, Skipped: 2},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "operator \"parse\": 2 of 7 records failed and were given up in this attempt\n"; strings.Count(b.String(), "given up") != 1 || !strings.Contains(b.String(), want) {
		t.Errorf("got %s\nwant it to contain %s", b.String(), want)
	}
}
