package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// Two who have led under one epoch are found (I1), in logs and in the history; one that leads again under its own is none.
func TestEpochs(t *testing.T) {
	over := func(leader, epoch string) string {
		return `time=T level=INFO msg="took over" jobmanager=` + leader + ` epoch=` + epoch + ` cause=first reason="r"` + "\n"
	}
	kept := func(epoch coordination.Epoch, leader string) client.Takeover {
		return client.Takeover{Epoch: epoch, Leader: leader}
	}
	for name, c := range map[string]struct {
		logs   []string
		kept   []client.Takeover
		epochs int
		wrong  int
	}{
		"in turn":                    {[]string{over("a", "1") + over("a", "3"), over("b", "2")}, []client.Takeover{kept(3, "a"), kept(2, "b")}, 3, 0},
		"its own once more":          {[]string{over("a", "1") + over("a", "1")}, nil, 1, 0},
		"two processes":              {[]string{over("a", "7"), over("b", "7")}, nil, 1, 1},
		"two runs of one process":    {[]string{over("a", "7") + over("b", "7")}, nil, 1, 1},
		"the number is another part": {[]string{over("a", "7"), over("b", "77")}, nil, 2, 0},
		"the history knows another":  {[]string{over("a", "7")}, []client.Takeover{kept(7, "b")}, 1, 1},
		"a term that never served":   {[]string{over("a", "7"), `level=WARN msg="the term ends" jobmanager=b epoch=7 error="e"`}, nil, 1, 1},
		"others are of no term":      {[]string{over("a", "7"), `level=INFO msg="standing by" jobmanager=b leader=a epoch=7` + "\n"}, nil, 1, 0},
		"the history goes back":      {nil, []client.Takeover{kept(7, "b"), kept(8, "c")}, 2, 1},
	} {
		all, wrong := terms{}, []string{}
		for _, text := range c.logs {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := all.readLog(path, func(what string) { wrong = append(wrong, what) }); err != nil {
				t.Fatal(err)
			}
		}
		wrong = append(wrong, all.readList(c.kept)...)
		if len(all) != c.epochs || len(wrong) != c.wrong {
			t.Errorf("%s: %v, %q", name, all, wrong)
		}
	}
}

// A plan that cannot be carried out is refused, and told why.
func TestPlans(t *testing.T) {
	here := &Site{Kind: Kind{Coordination: "embedded"}}
	for _, c := range []struct {
		plan Plan
		want string // part of the refusal; "": it is none
	}{
		{Plan{}, ""},
		{Plan{Faults: []string{"leader killed"}, Gentle: true}, ""},
		{Plan{Faults: []string{"leader kiled"}}, "there is no fault"},
		{Plan{Faults: []string{"leader cut from standbys"}}, "/hosts has one"},
		{Plan{Faults: []string{"network slow"}}, "/proxies has some"},
		{Plan{Faults: []string{"ZooKeeper slow"}}, "it has no ZooKeeper"},
		{Plan{Faults: []string{"clock jumps"}}, "the machine's clock"},
		{Plan{Faults: []string{"storage full"}}, "no small file system"},
		{Plan{Faults: []string{"TaskManager killed"}, Gentle: true}, "no task notices"},
	} {
		err := c.plan.Check(here)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.plan, err)
		}
	}
	for _, c := range []struct{ kind, fault, want string }{ // before anything is started
		{"embedded/hosts", "ZooKeeper slow", "it has no ZooKeeper"},
		{"zookeeper/proxies", "leader's host dead", "/hosts has one"},
		{"zookeeper/hosts", "network slow", "/proxies has some"},
		{"zookeeper/hosts", "leader's host dead", ""},
		{"embedded/proxies", "clock jumps", ""},
	} {
		k, err := ParseKind(c.kind)
		if err != nil {
			t.Fatal(err)
		}
		err = Plan{Faults: []string{c.fault}}.Possible(k)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %s: %v", c.fault, c.kind, err)
		}
	}
	for _, text := range []string{"", "etcd", "zookeeper/", "zookeeper/moon", "/hosts"} {
		if k, err := ParseKind(text); err == nil {
			t.Errorf("%q is %v", text, k)
		}
	}
}

// In a gentle round none is drawn that a task may notice.
func TestDrawn(t *testing.T) {
	here := &Site{Kind: Kind{Coordination: "embedded"}}
	all, gentle := (Plan{}).drawn(here, false), (Plan{}).drawn(here, true)
	if len(gentle) == 0 || len(gentle) >= len(all) {
		t.Errorf("%d of %d are gentle", len(gentle), len(all))
	}
	for _, f := range gentle {
		if !f.gentle {
			t.Errorf("%s is not", f.name)
		}
	}
}

// A fault that found nothing to strike is none, and one that fails ends the round.
func TestSpared(t *testing.T) {
	for _, c := range []struct {
		err          error
		done, spared int
		ends         bool
	}{
		{nil, 1, 0, false},
		{fmt.Errorf("%w: the job has ended", errSpared), 0, 1, false},
		{errors.New("the host cannot be cut off"), 0, 0, true},
	} {
		gentle := c.err == nil
		r := &round{Config: Config{Site: &Site{Cluster: &localcluster.Cluster{}}, Say: t.Logf}, draw: rand.New(rand.NewPCG(1, 2)), result: Result{Faults: Tally{}}}
		f := fault{name: "some", gentle: gentle, do: func(r *round, _ context.Context) error { r.took = time.Second; return c.err }}
		err := r.fault(t.Context(), []fault{f})
		if len(r.result.Faults) != c.done || r.result.Spared != c.spared || (err != nil) != c.ends || r.rough == gentle {
			t.Errorf("%v: %+v, %v", c.err, r.result, err)
		}
	}
}

// The table has a line for each fault that was done, and one for each invariant, with what broke it.
func TestTable(t *testing.T) {
	total := NewTotal()
	r := Result{Faults: Tally{}, Kills: 2, Violations: []Violation{{"I6", "subtask 3 is another"}}}
	for _, took := range []time.Duration{time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond} {
		r.Faults.add(processFaults[4], took)
	}
	total.Add(Kind{"zookeeper", "hosts"}, r)
	var b strings.Builder
	if err := total.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"leader killed 1 3 2.0 ms 3.0 ms", "zookeeper/hosts 1", "processes killed 2", "no epoch has two leaders 0", "coordination and clocks 1", "I6: subtask 3 is another"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// Attempts of a subtask that took records at the same time are found, and those of one number in two processes.
func TestOverlapping(t *testing.T) {
	dir := t.TempDir()
	for name, span := range map[string][2]uint64{"0-1-9": {10, 20}, "0-2-9": {21, 30}, "1-1-9": {10, 21}, "1-3-8": {21, 30}, "2-2-9": {5, 6}, "2-1-8": {7, 8}, "3-1-9": {5, 6}, "3-1-10": {7, 8}} {
		text := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, span[0]), span[1])
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "0-3-9"), nil, 0o644); err != nil { // it took none
		t.Fatal(err)
	}
	all, err := spans(dir)
	if err != nil || len(all) != 8 {
		t.Fatalf("%+v, %v", all, err)
	}
	wrong := overlapping(all)
	slices.Sort(wrong)
	want := []string{
		"subtask 1: attempt 1 took a record 0s after attempt 3 had begun to",
		"subtask 2: attempt 1 took a record 3ns after attempt 2 had begun to",
		"subtask 3: attempt 1 took records in the processes 9 and 10",
	}
	if !slices.Equal(wrong, want) {
		t.Errorf("%q", wrong)
	}
}

// A subtask that is another, is gone, or was restarted is found (I6); one that has finished is none.
func TestInterrupted(t *testing.T) {
	of := func(restarts int, all ...client.Subtask) client.Job {
		return client.Job{Restarts: restarts, Vertices: []client.Vertex{{Subtasks: all}}}
	}
	was := client.Subtask{State: job.Running, Attempt: 1, PID: 7}
	for name, c := range map[string]struct {
		before, after client.Job
		wrong         int
	}{
		"the same":                {of(0, was), of(0, was), 0},
		"finished":                {of(0, was), of(0, client.Subtask{State: job.Finished, Attempt: 1}), 0},
		"another process":         {of(0, was), of(0, client.Subtask{State: job.Running, Attempt: 1, PID: 8}), 1},
		"another attempt":         {of(0, was), of(0, client.Subtask{State: job.Running, Attempt: 2, PID: 7}), 1},
		"finished by another":     {of(0, was), of(0, client.Subtask{State: job.Finished, Attempt: 2}), 1},
		"gone":                    {of(0, was, was), of(0, was), 1},
		"all gone":                {of(0, was, was), of(0), 2},
		"restarted":               {of(0, was), of(1, was), 1},
		"restarted before":        {of(1, was), of(1, was), 0},
		"there was nothing to be": {of(0), of(0), 1},
	} {
		if wrong := interrupted(c.before, c.after); len(wrong) != c.wrong {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}

// A panic in a log is found, once.
func TestUnbroken(t *testing.T) {
	p := &localcluster.Process{Name: "jobmanager-1", Log: filepath.Join(t.TempDir(), "log")}
	s := &Site{Cluster: &localcluster.Cluster{JobManagers: []*localcluster.Process{p}}}
	for _, c := range []struct {
		more  string
		wrong int
	}{
		{"level=WARN msg=\"a subtask failed\" reason=\"panic: a record\"\n", 0},
		{"panic: runtime error: index out of range\n\ngoroutine 1 [running]:\n", 1},
		{"SIGABRT: abort\n", 0},
		{"fatal error: concurrent map writes\n", 1},
	} {
		f, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(c.more); err != nil {
			t.Fatal(err)
		}
		f.Close()
		wrong := 0
		if err := s.unbroken(func(string, string, ...any) { wrong++ }); err != nil || wrong != c.wrong {
			t.Errorf("%q: %d, %v", c.more, wrong, err)
		}
	}
}

// Lines that are lost, and lines that are there too often, are counted.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		want, got        string
		lost, duplicated int
	}{
		{"a b c", "a b c", 0, 0},
		{"a b c", "a c", 1, 0},
		{"a b b", "a b", 1, 0},
		{"a b", "a a b b", 0, 2},
		{"a b", "", 2, 0},
		{"", "a", 0, 1},
		{"a c", "b c", 1, 1},
	} {
		if lost, duplicated := Compare(strings.Fields(c.want), strings.Fields(c.got)); lost != c.lost || duplicated != c.duplicated {
			t.Errorf("%q, %q: %d lost, %d duplicated", c.want, c.got, lost, duplicated)
		}
	}
}
