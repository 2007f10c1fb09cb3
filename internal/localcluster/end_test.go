package localcluster_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// lopsided is a job of two subtasks, on a TaskManager each, of which the second ends at once
// and the first never.
func lopsided(env *stream.Env) {
	s := stream.FromFunc(env, "numbers", func(ctx *stream.Context, emit func(int)) error {
		emit(ctx.Subtask())
		if ctx.Subtask() == 0 {
			<-ctx.Done()
		}
		return nil
	}, stream.Parallelism(2))
	stream.To(s, "nowhere", discard.All[int]())
}

// half starts a lopsided job, waits until one half of it has finished, and returns the two
// task processes: this test binary is the job's.
func (f *fixture) half(t *testing.T) (id client.ID, running, finished int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := f.client.Upload(f.ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	spec := client.Spec{ID: client.NewID(), Name: "lopsided", Artifact: artifact}
	if _, err := f.client.Submit(f.ctx, spec); err != nil {
		t.Fatal(err)
	}
	var subtasks []client.Subtask
	err = f.cluster.Until(f.ctx, func() error {
		j, err := f.client.Job(f.ctx, spec.ID)
		if err != nil {
			return err
		}
		if len(j.Vertices) == 0 || j.Vertices[0].Subtasks[0].State != job.Running || j.Vertices[0].Subtasks[1].State != job.Finished {
			return fmt.Errorf("the job is %s: %+v", j.State, j.Vertices)
		}
		subtasks = j.Vertices[0].Subtasks
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if subtasks[0].TaskManager == subtasks[1].TaskManager || subtasks[0].PID == 0 || subtasks[1].PID == 0 {
		t.Fatalf("the subtasks are not in two processes of two TaskManagers: %+v", subtasks)
	}
	return spec.ID, subtasks[0].PID, subtasks[1].PID
}

// gone waits until these task processes have ended.
func (f *fixture) gone(t *testing.T, pids ...int) {
	t.Helper()
	err := f.cluster.Until(f.ctx, func() error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("process %d is still there (%v)", pid, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLostIdleProcess: a task process is killed after its subtasks have finished, while another TaskManager's
// still run. What it may owe to them is lost, so the job restarts, and does not hang.
func TestLostIdleProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1})
	kill := func(pid int) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill the idle task process %d: %v", pid, err)
		}
	}
	check := func(when string, id client.ID, running, finished int) {
		f.gone(t, running, finished)
		err := f.cluster.Until(f.ctx, func() error {
			j, err := f.client.Job(f.ctx, id)
			if err == nil && (j.State != job.Running || j.Restarts != 1) {
				err = fmt.Errorf("the job is %s after %d restarts: %s", j.State, j.Restarts, j.Failure)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v; want it restarted", when, err)
		}
		if _, err := f.client.Cancel(f.ctx, id); err != nil {
			t.Fatal(err)
		}
		f.wait(t, id)
	}

	id, running, finished := f.half(t)
	kill(finished)
	check("under a leader", id, running, finished)

	id, running, finished = f.half(t)
	f.cluster.JobManagers[0].Kill()
	kill(finished)
	f.gone(t, finished)
	if err := f.cluster.JobManagers[0].Start(); err != nil {
		t.Fatal(err)
	}
	check("without one", id, running, finished)
}

// TestIdleProcessesEnd: a task process that has nothing more to do lives for as long as its
// job's attempt and its TaskManager, and no longer.
func TestIdleProcessesEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1})

	j := f.submit(t, "short", 1_000, 0)
	end := f.wait(t, j.id)
	if end.State != job.Finished {
		t.Errorf("the job is %s: %s", end.State, end.Failure)
	}
	for _, v := range end.Vertices {
		for _, s := range v.Subtasks {
			if s.PID == 0 {
				t.Errorf("subtask %d of %s has finished in an unknown process", s.Index, v.Name)
			}
			f.gone(t, s.PID)
		}
	}

	id, running, finished := f.half(t)
	if _, err := f.client.Cancel(f.ctx, id); err != nil {
		t.Fatal(err)
	}
	if end := f.wait(t, id); end.State != job.Canceled {
		t.Errorf("the job is %s: %s", end.State, end.Failure)
	}
	f.gone(t, running, finished)

	_, running, finished = f.half(t)
	for _, p := range f.cluster.TaskManagers {
		p.Terminate(f.ctx)
	}
	f.gone(t, running, finished)
}

// deaf is a job whose user function does not return, whoever asks.
func deaf(env *stream.Env) {
	_ = env.Arg("output")
	s := stream.FromFunc(env, "numbers", func(*stream.Context, func(int)) error { select {} }, stream.Parallelism(2))
	stream.To(s, "nowhere", discard.All[int]())
}

// TestTermOfStuckTasks: TaskManagers that are told to end have ended within 2 s, although a user function does not return,
// and another job's task processes are stopped. What was killed is in their logs, and in the reason why a job starts again.
func TestTermOfStuckTasks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1})
	var ids []client.ID
	var pids []int
	for i := range 2 {
		id, _ := f.startOwn(t, "deaf")
		ids = append(ids, id)
		for _, s := range localcluster.Subtasks(f.running(t, id)) {
			pids = append(pids, s.PID)
			if i == 0 {
				if err := syscall.Kill(s.PID, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	began := time.Now()
	for _, p := range f.cluster.TaskManagers {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range f.cluster.TaskManagers {
		if <-p.Done(); time.Since(began) > 2*time.Second {
			t.Errorf("%s took %v to end", p.Name, time.Since(began))
		}
	}
	f.gone(t, pids...)
	said := f.output(t)
	for _, pid := range pids {
		if want := fmt.Sprintf(`has not ended although it was asked to, and is killed".* pid=%d `, pid); !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("no log says %q", want)
		}
	}
	for _, id := range ids {
		err := f.cluster.Until(f.ctx, func() error {
			j, err := f.client.Job(f.ctx, id)
			if want := "it said that it ends; it killed task process"; err == nil && !strings.Contains(j.Failure, want) {
				err = fmt.Errorf("the job's reason is %q, want %q in it", j.Failure, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// output is all that the TaskManagers have logged.
func (f *fixture) output(t *testing.T) string {
	t.Helper()
	var all []byte
	for _, p := range f.cluster.TaskManagers {
		b, err := os.ReadFile(p.Log)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
}
