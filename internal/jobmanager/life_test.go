package jobmanager

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// write makes the files that the TaskManagers say they wrote.
func (w *world) write(dir string, names ...string) {
	w.t.Helper()
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(n), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

func visible(dir string) string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestJobLife(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	n := w.start("jm-a")
	tm1, tm2 := w.taskManager("tm-1", 1), w.taskManager("tm-2", 1)
	tm1.dir, tm2.dir = dir, dir
	tm1.start()
	w.leader()

	id := w.submit(n)
	w.eventually("a slot is missing", func() bool { return w.job(id).SlotsMissing == 1 })
	if j := w.job(id); j.State != job.Created || j.Name != "planned" || j.SlotsNeeded != 2 {
		t.Errorf("while it waits: %+v", j)
	}
	tm2.start()
	j := w.await(id, job.Running)
	w.eventually("pids are known", func() bool { j = w.job(id); return j.Vertices[1].Subtasks[1].PID == 4711 })
	if j.Attempt != 1 || j.Restarts != 0 {
		t.Errorf("running: %+v", j)
	}
	if c, err := n.Cluster(context.Background()); err != nil || c != (api.Cluster{OS: "linux", Arch: "amd64", TaskManagers: 2, Slots: 2}) {
		t.Errorf("cluster: %+v, %v", c, err)
	}

	w.write(dir, ".part-0-1", ".part-1-1")
	tm1.change(id, job.Finished, "")
	w.eventually("one half is seen to finish", func() bool {
		j := w.job(id)
		return j.Vertices[0].Subtasks[0].State == job.Finished || j.Vertices[0].Subtasks[1].State == job.Finished
	})
	if got := visible(dir); strings.Contains(strings.ReplaceAll(got, ".part", ""), "part") {
		t.Errorf("visible before the end: %s", got)
	}
	tm2.change(id, job.Finished, "")
	j = w.await(id, job.Finished)
	if j.Finished == nil {
		t.Error("no time of its end")
	}
	if got := visible(dir); got != "part-0-1 part-1-1" {
		t.Errorf("visible at the end: %s", got)
	}
	for _, f := range []*fakeTaskManager{tm1, tm2} {
		w.eventually("the end is confirmed", func() bool { return f.did("confirmed attempt 1") == 1 })
	}
	if list, err := n.Jobs(context.Background()); err != nil || len(list) != 1 || list[0].State != job.Finished {
		t.Errorf("list: %+v, %v", list, err)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 4)
	tm.plan = func(p rpc.Plan) rpc.Planned {
		if p.Spec.Name == "bad" {
			return rpc.Planned{Job: p.Spec.ID, Error: `operator "count" has no input`}
		}
		return planOf(2)(p)
	}
	tm.start()
	w.leader()

	spec := w.spec()
	spec.Name = "bad"
	if _, err := n.Submit(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	if j := w.await(spec.ID, job.Failed); j.Failure != `operator "count" has no input` {
		t.Errorf("plan failure: %q", j.Failure)
	}

	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	tm.change(id, job.Failed, "operator lines, subtask 0: panic: boom")
	if j := w.await(id, job.Failed); !strings.Contains(j.Failure, "boom") || j.Attempt != 1 {
		t.Errorf("failure: %q after %d attempts", j.Failure, j.Attempt)
	}
	w.eventually("slots are free again", func() bool {
		c, err := n.Cluster(context.Background())
		return err == nil && c.SlotsFree == 4
	})
}

func TestPlanIsRetriedElsewhere(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	broken, whole := w.taskManager("tm-1", 2), w.taskManager("tm-2", 2)
	broken.plan = func(p rpc.Plan) rpc.Planned {
		return rpc.Planned{Job: p.Spec.ID, Error: "no space left on device", Retry: true}
	}
	broken.start()
	w.leader()
	id := w.submit(n)
	w.eventually("the broken one has tried", func() bool { return broken.did("plans") > 0 })
	whole.start()
	w.await(id, job.Running)
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	ctx := context.Background()

	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	if j, err := n.Cancel(ctx, id); err != nil || j.State != job.Cancelling && j.State != job.Canceled {
		t.Fatalf("cancel: %v, %v", j.State, err)
	}
	w.await(id, job.Canceled)
	if j, err := n.Cancel(ctx, id); err != nil || j.State != job.Canceled {
		t.Errorf("cancel again: %v, %v", j.State, err)
	}
	if _, err := n.Cancel(ctx, job.NewID()); code(err) != api.NotFound {
		t.Errorf("cancel of nothing: %v", err)
	}
}

func TestSubmitOnceForItsID(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	w.leader()
	ctx := context.Background()
	spec := w.spec()
	first, err := n.Submit(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := n.Submit(ctx, spec)
	if err != nil || again.ID != first.ID || !again.Submitted.Equal(first.Submitted) {
		t.Errorf("again: %+v, %v", again, err)
	}
	spec.Args = []string{"other"}
	if _, err := n.Submit(ctx, spec); code(err) != api.Conflict {
		t.Errorf("another job under the same id: %v", err)
	}
	for name, change := range map[string]func(*job.Spec){
		"artifact":    func(s *job.Spec) { s.Artifact = strings.Repeat("0", 64) },
		"id":          func(s *job.Spec) { s.ID = "../x" },
		"name":        func(s *job.Spec) { s.Name = " " },
		"parallelism": func(s *job.Spec) { s.Parallelism = -1 },
		"arguments":   func(s *job.Spec) { s.Args = []string{strings.Repeat("x", maxSpec)} },
	} {
		bad := w.spec()
		change(&bad)
		if _, err := n.Submit(ctx, bad); code(err) != api.BadRequest || !strings.Contains(err.Error(), name) {
			t.Errorf("bad %s: %v", name, err)
		}
	}
	if list, err := n.Jobs(ctx); err != nil || len(list) != 1 {
		t.Errorf("jobs: %+v, %v", list, err)
	}
}

// A spec of more than 8 kB makes an intent that coordination holds by name only.
func TestLargeIntent(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	spec := w.spec()
	spec.Args = []string{strings.Repeat("x", 20_000)}
	if _, err := n.Submit(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	w.await(spec.ID, job.Running)
	e, err := n.leading.Load().term.Get(context.Background(), intentKey(spec.ID))
	if err != nil || len(e.Value) > 200 {
		t.Errorf("coordination holds %d bytes, %v", len(e.Value), err)
	}
	n.kill()
	w.start("jm-b")
	w.eventually("the next leader reads it", func() bool { return w.job(spec.ID).State == job.Running })
	if tm.did("deploys attempt 2 slots [0 1]") > 0 {
		t.Error("deployed anew")
	}
}
