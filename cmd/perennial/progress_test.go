package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// counting is a running job of two vertices, of which the second has a long name.
func counting(records uint64) client.Job {
	subtasks := func(states ...client.State) (all []client.Subtask) {
		for i, s := range states {
			all = append(all, client.Subtask{Index: i, State: s})
		}
		return all
	}
	j := client.Job{Vertices: []client.Vertex{
		{Name: "lines -> words", Parallelism: 2, RecordsIn: records, RecordsOut: 3 * records, Busy: 1, Subtasks: subtasks(job.Running, job.Finished)},
		{Name: strings.Repeat("count -> ", 20), Parallelism: 2, RecordsIn: 3 * records, Blocked: 0.256, Subtasks: subtasks(job.Finished, job.Finished)},
	}}
	j.ID, j.Name, j.State = "0123", "wordcount", job.Running
	return j
}

func TestTableFitsTheTerminal(t *testing.T) {
	var screen bytes.Buffer
	for _, width := range []int{200, 80, 60, 10, 1} {
		screen.Reset()
		p := &progress{out: &screen, size: func() (int, int) { return width, 24 }}
		p.show(counting(123456))
		lines := strings.Split(strings.TrimSuffix(screen.String(), "\n\x1b[J"), "\n")
		if len(lines) != 4 {
			t.Fatalf("%d columns: %d lines, want the state, a head and a row per vertex: %q", width, len(lines), lines)
		}
		for _, l := range lines {
			text := strings.TrimSuffix(strings.TrimPrefix(l, "\r"), "\x1b[K")
			if n := utf8.RuneCountInString(text); n >= max(width, 2) {
				t.Errorf("%d columns: a line of %d would wrap: %q", width, n, text)
			}
		}
	}
}

// TestLeaseWait: for what a job waits that lost a TaskManager, and how long at most.
func TestLeaseWait(t *testing.T) {
	now := time.Now()
	j := client.Job{LeaseWait: &client.LeaseWait{TaskManager: "tm-x", Until: now.Add(11340 * time.Millisecond)}}
	if got, want := leaseWait(j, now), "waits 11.3s at most for the lease of TaskManager tm-x"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := leaseWait(j, now.Add(time.Hour)); !strings.HasPrefix(got, "waits 0s at most") { // its clock is not the leader's
		t.Errorf("got %q", got)
	}
	if got := describe(j); !strings.Contains(got, "for the lease of TaskManager tm-x") {
		t.Errorf("info says %q", got)
	}
}

func TestTableIsDrawnOverItself(t *testing.T) {
	var screen bytes.Buffer
	p := &progress{out: &screen, size: func() (int, int) { return 80, 3 }}
	p.show(counting(1))
	screen.Reset()
	p.show(counting(2))
	if got := screen.String(); !strings.HasPrefix(got, "\r\x1b[2A") || strings.Count(got, "\n") != 2 {
		t.Errorf("on three rows: %q, want two lines drawn over the last two", got)
	}
}

// TestWithoutATerminal: a line at each change of state, and no escape sequence.
func TestWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out}
	created := counting(0)
	created.State, created.Vertices, created.SlotsMissing, created.SlotsNeeded = job.Created, nil, 1, 4
	p.show(created)
	p.show(created)
	p.show(counting(1000))
	p.show(counting(2000))
	p.told = time.Now().Add(-plainInterval)
	p.show(counting(3000))
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{
		"wordcount is CREATED, waits for 1 of 4 slots: start TaskManagers, or lower the parallelism",
		"wordcount is RUNNING; lines -> words: 1 running, 1.0k in, 3.0k out, 0/s, busy 100%, blocked 0%; ",
		"wordcount is RUNNING; lines -> words: 1 running, 3.0k in, ",
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) || strings.Contains(got[i], "\x1b") {
			t.Errorf("line %d is %q, want it to begin with %q", i+1, got[i], want[i])
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1.0k", 123456: "123.5k", 1234567: "1.23M", 1e9: "1.00G"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}
