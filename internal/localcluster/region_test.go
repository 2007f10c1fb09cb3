package localcluster_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// apart is a job of two pipelines: each counts numbers by key, and ends. --left and --right say of how many subtasks.
func apart(env *stream.Env) {
	for _, name := range []string{"left", "right"} {
		wide := stream.Parallelism(env.IntArgOr(name, 2))
		numbers := stream.From(env, name, generator.Count(uint64(env.IntArg("records")), func(i uint64) uint64 { return i }), stream.Rate(env.FloatArgOr("rate", 0)), wide)
		keyed := stream.KeyBy(numbers, func(i uint64) uint64 { return i % keys })
		rows := stream.Aggregate(keyed, name+" count", func(n *uint64, _ uint64) { *n++ }, func(k, n uint64) talliedRow { return talliedRow{k, n} }, stream.Updates(), wide)
		stream.To(rows, name+" out", file.JSONLines[talliedRow](filepath.Join(env.Arg("output"), name)), wide)
	}
}

// processes are those of a job's vertices that a pipeline has, by subtask.
func processes(j client.Job, pipeline string) map[string]client.Subtask {
	all := map[string]client.Subtask{}
	for _, v := range j.Vertices {
		if !slices.ContainsFunc(v.Operators, func(o client.Operator) bool {
			return len(o.Name) >= len(pipeline) && o.Name[:len(pipeline)] == pipeline
		}) {
			continue
		}
		for _, s := range v.Subtasks {
			all[fmt.Sprintf("%s/%d", v.Name, s.Index)] = s
		}
	}
	return all
}

// apart submits such a job.
func (f *fixture) apart(t *testing.T, records int, args ...string) (spec client.Spec, output string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := f.client.Upload(f.ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	output = filepath.Join(f.dir, "apart.out")
	spec = client.Spec{
		ID: client.NewID(), Name: "apart", Artifact: artifact, Parallelism: 2,
		Args: append([]string{"--job", "apart", "--records", fmt.Sprint(records), "--rate", "10000", "--output", output}, args...),
	}
	if _, err := f.client.Submit(f.ctx, spec); err != nil {
		t.Fatal(err)
	}
	return spec, output
}

// bothCame requires that both pipelines put out what an undisturbed run does.
func (f *fixture) bothCame(t *testing.T, output string, records int) {
	t.Helper()
	for _, name := range []string{"left", "right"} {
		if got, err := chaos.Lines(filepath.Join(output, name)); err != nil || len(got) != records || len(slices.Compact(got)) != records {
			t.Errorf("%d lines came out on the %s, want %d different ones: %v", len(got), name, records, err)
		}
	}
}

// TestLostRegion: a pipeline loses a task process, and then a TaskManager. It restarts each time, and only it, whether the
// leader lives or not; both come to the end of an undisturbed run.
func TestLostRegion(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "100ms"}})
	const records = 60_000
	spec, output := f.apart(t, records)
	before := f.running(t, spec.ID)
	f.checkpointed(t, spec.ID, 2)

	victim := slices.Collect(maps.Values(processes(before, "left")))[0]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := f.mended(t, spec.ID, 1)
	if now, was := processes(after, "right"), processes(before, "right"); !maps.EqualFunc(was, now, same) {
		t.Errorf("the other pipeline was %+v and is %+v", was, now)
	}
	for name, s := range processes(after, "left") {
		if s.Attempt != 2 || same(s, processes(before, "left")[name]) {
			t.Errorf("%s was not started again: %+v", name, s)
		}
	}

	f.cluster.JobManagers[0].Kill()
	victim = slices.Collect(maps.Values(processes(after, "right")))[0]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.gone(t, victim.PID)
	if err := f.cluster.JobManagers[0].Start(); err != nil {
		t.Fatal(err)
	}
	last := f.mended(t, spec.ID, 2)
	if now, was := processes(last, "left"), processes(after, "left"); !maps.EqualFunc(was, now, same) {
		t.Errorf("the other pipeline was %+v and is %+v", was, now)
	}
	if end := f.wait(t, spec.ID); end.State != job.Finished || end.Restarts != 2 || end.Attempt != 3 {
		t.Errorf("the job is %s after %d restarts, its attempt is %d: %s", end.State, end.Restarts, end.Attempt, end.Failure)
	}
	f.bothCame(t, output, records)
}

func same(a, b client.Subtask) bool {
	return a.PID == b.PID && a.Attempt == b.Attempt && a.TaskManager == b.TaskManager
}

// mended waits until all of a job runs, after so many restarts.
func (f *fixture) mended(t *testing.T, id client.ID, restarts int) client.Job {
	t.Helper()
	var j client.Job
	err := f.cluster.Until(f.ctx, func() (err error) {
		if j, err = f.client.Job(f.ctx, id); err == nil && j.Restarts < restarts {
			err = fmt.Errorf("%d restarts: %s", j.Restarts, j.State)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f.running(t, id)
}
