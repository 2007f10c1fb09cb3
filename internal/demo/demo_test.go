package demo

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

func TestCompareFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("the cat, the dog42cat\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want, err := count(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name             string
		csv              string
		lost, duplicated uint64
	}{
		{"right", "Word,Count\nthe,2\ncat,2\ndog,1\n", 0, 0},
		{"a word missing", "Word,Count\nthe,2\ncat,2\n", 1, 0},
		{"a count too high", "Word,Count\nthe,3\ncat,2\ndog,1\n", 0, 1},
		{"a word that is not there", "Word,Count\nthe,2\ncat,2\ndog,1\ncow,4\n", 0, 4},
		{"a word twice", "Word,Count\nthe,2\ncat,2\ndog,1\nthe,2\n", 0, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := t.TempDir()
			if err := os.WriteFile(filepath.Join(out, "part-00000-1.csv"), []byte(test.csv), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := readCounts(out)
			if err != nil {
				t.Fatal(err)
			}
			if r := compare(want, got); r.Lost != test.lost || r.Duplicated != test.duplicated {
				t.Errorf("lost %d, duplicated %d; want %d, %d", r.Lost, r.Duplicated, test.lost, test.duplicated)
			}
		})
	}
	if _, err := readCounts(t.TempDir()); err == nil {
		t.Error("no output at all was accepted")
	}
}

func TestLastLine(t *testing.T) {
	good := Result{Words: 5, Distinct: 3, Kills: 2, Takeovers: []time.Duration{3 * time.Millisecond, time.Millisecond},
		TasksKilled: 1, Recoveries: []time.Duration{20 * time.Millisecond}}
	var out bytes.Buffer
	good.Report(&out, 2, 1)
	if want := "demo: OK words=5 distinct=3 leaders-killed=2 takeover-p50-ms=3.0 takeover-max-ms=3.0 tasks-killed=1 recovery-p50-ms=20.0 recovery-max-ms=20.0 task-restarts=0 lost=0 duplicated=0\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %q, want the end %q", out.String(), want)
	}
	for name, spoil := range map[string]func(*Result){
		"lost":       func(r *Result) { r.Lost = 1 },
		"duplicated": func(r *Result) { r.Duplicated = 1 },
		"restarted":  func(r *Result) { r.Restarts = 1 },
		"few kills":  func(r *Result) { r.Kills = 1 },
		"few tasks":  func(r *Result) { r.TasksKilled = 0 },
		"nothing":    func(r *Result) { r.Words = 0 },
	} {
		bad := good
		spoil(&bad)
		out.Reset()
		bad.Report(&out, 2, 1)
		if !strings.Contains(out.String(), "demo: FAILED") {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}

func TestLiveLineFitsAndStands(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, func() int { return 38 })
	s.leads(client.JobManager{PID: 4711, Epoch: 3})
	j := client.Job{Attempt: 1, Vertices: []client.Vertex{{RecordsOut: 5_000_000}}}
	s.job(j)
	j.Vertices[0].RecordsOut = 0 // a new leader has not heard yet
	s.job(j)
	want := "\rleader 4711, epoch 3 · 5.00M words,\x1b[K"
	if got := out.String(); got != want+want {
		t.Errorf("drawn %q, want twice %q", got, want)
	}
	s.say("a line")
	if got := out.String(); !strings.HasSuffix(got, "\r\x1b[2Ka line\n") {
		t.Errorf("then %q, want the live line wiped out first", got)
	}
}

// TestLiveLineCountsOn: the counters of a new attempt begin at zero, and the words shown do not.
func TestLiveLineCountsOn(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, func() int { return 80 })
	s.job(client.Job{Attempt: 1, Vertices: []client.Vertex{{RecordsOut: 5_000_000}}})
	s.job(client.Job{Attempt: 2, Vertices: []client.Vertex{{RecordsOut: 0}}})
	s.job(client.Job{Attempt: 2, Vertices: []client.Vertex{{RecordsOut: 1_000_000}}})
	if s.words != 6_000_000 {
		t.Errorf("%d words are shown, want 6000000", s.words)
	}
}

// TestRestartsExplained: a killed task process explains that its tasks are other ones afterwards, and
// a dead leader does not.
func TestRestartsExplained(t *testing.T) {
	running := func(pid, attempt int) client.Job {
		s := client.Subtask{PID: pid, Attempt: job.Attempt(attempt), State: job.Running}
		return client.Job{Attempt: job.Attempt(attempt), Vertices: []client.Vertex{{Subtasks: []client.Subtask{s}}}}
	}
	r := &run{screen: newScreen(io.Discard, nil), base: running(7, 1)}
	r.note(running(7, 1))
	r.recovered(7, running(8, 2), time.Millisecond)
	r.note(running(8, 2))
	r.settle()
	if r.touched != 0 || r.tasksKilled != 1 || len(r.recoveries) != 1 {
		t.Errorf("touched %d, killed %d, recovered %v; want 0, 1 and one time", r.touched, r.tasksKilled, r.recoveries)
	}
	r.base = running(8, 2)
	r.note(running(9, 3))
	r.settle()
	if r.touched != 1 {
		t.Errorf("touched %d by another process without a kill, want 1", r.touched)
	}
}

// TestBusy: a process whose subtasks have all finished is not killed, nor one that is not known.
func TestBusy(t *testing.T) {
	j := client.Job{Vertices: []client.Vertex{{Subtasks: []client.Subtask{
		{PID: 7, State: job.Finished}, {PID: 8, State: job.Finished}, {PID: 8, State: job.Running}, {PID: 8, State: job.Running}, {State: job.Running},
	}}}}
	if got := busy(j); !slices.Equal(got, []int{8}) {
		t.Errorf("busy are %v, want process 8 alone", got)
	}
}
