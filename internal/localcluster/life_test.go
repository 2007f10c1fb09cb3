package localcluster_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// TestClusterStoppedAndStarted: JobManagers first, then TaskManagers, as stop-cluster.sh does it. A kept job goes on at the
// next start without waiting for a time-out, which would be longer than the test, and although restarts are not allowed.
func TestClusterStoppedAndStarted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{
		"checkpoint.interval": "100ms", "restart.strategy": "none", "taskmanager.timeout": "10m",
	}})
	j := f.submit(t, "long", 20_000, 10_000)
	f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	for _, p := range append(f.cluster.JobManagers, f.cluster.TaskManagers...) {
		p.Terminate(f.ctx)
	}
	for _, p := range append(f.cluster.JobManagers, f.cluster.TaskManagers...) {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	end := f.wait(t, j.id)
	if end.State != job.Finished || end.Attempt != 2 || end.Restarts != 0 || end.Checkpoints.Restored < 2 {
		t.Errorf("the job is %s after %d attempts and %d restarts, continued from checkpoint %d: %s",
			end.State, end.Attempt, end.Restarts, end.Checkpoints.Restored, end.Failure)
	}
	if got := countLines(t, j.output); got != j.words {
		t.Errorf("%d words came out, want %d", got, j.words)
	}
}

// TestDrainedTaskManager: what is there moves to the other one, from a checkpoint that is taken for it, and the process
// ends. The pipeline that has nothing there runs on in its process, and nothing is counted as a restart.
func TestDrainedTaskManager(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "1h", "restart.strategy": "none"}})
	const records = 60_000
	spec, output := f.apart(t, records, "--left", "1")
	before := f.running(t, spec.ID)
	stays := processes(before, "left")
	home, leaves := "", ""
	for _, s := range stays {
		home = s.TaskManager
	}
	for _, s := range processes(before, "right") {
		if s.TaskManager != home {
			leaves = s.TaskManager
		}
	}
	list, err := f.client.TaskManagers(f.ctx)
	if err != nil || len(list) != 2 || leaves == "" {
		t.Fatalf("the pipelines are on %q and %q of %+v: %v", home, leaves, list, err)
	}
	_, port, _ := strings.Cut(f.cluster.Rest[0], ":")
	out, err := exec.Command(binaries.perennial, "--conf", "", "-D", "rest.port="+port, "taskmanager", "drain", leaves).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "TaskManager "+leaves+" on ") {
		t.Fatalf("drain: %v\n%s", err, out)
	}
	for _, p := range f.cluster.TaskManagers {
		for _, row := range list {
			if row.ID == leaves && row.PID == p.PID() {
				<-p.Done()
			}
		}
	}
	after := f.running(t, spec.ID)
	if now := processes(after, "left"); !maps.EqualFunc(stays, now, same) {
		t.Errorf("the other pipeline was %+v and is %+v", stays, now)
	}
	for name, s := range processes(after, "right") {
		if s.TaskManager != home || s.Attempt != 2 {
			t.Errorf("%s has not moved: %+v", name, s)
		}
	}
	if end := f.wait(t, spec.ID); end.State != job.Finished || end.Restarts != 0 || end.Checkpoints.Restored != 1 {
		t.Errorf("the job is %s after %d restarts, from checkpoint %d: %s", end.State, end.Restarts, end.Checkpoints.Restored, end.Failure)
	}
	f.bothCame(t, output, records)
}

// TestDrainThatWaits: a drain of a TaskManager whose job has no checkpoint yet, and can have none, as a process of it stands
// still. Whoever waits is told why, and that the drain goes on when they wait no longer; and it does.
func TestDrainThatWaits(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "1h", "restart.strategy": "none"}})
	const records = 60_000
	spec, output := f.apart(t, records)
	running := f.running(t, spec.ID)
	chosen := localcluster.Subtasks(running)[0]
	if err := syscall.Kill(chosen.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(f.cluster.Rest[0], ":")
	drain := func(more ...string) (cmd *exec.Cmd, said func() string) {
		out, err := os.Create(filepath.Join(t.TempDir(), "said"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd = exec.Command(binaries.perennial, append([]string{"--conf", "", "-D", "rest.port=" + port, "taskmanager", "drain", chosen.TaskManager}, more...)...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, func() string { text, _ := os.ReadFile(out.Name()); return string(text) }
	}
	waits := "job " + spec.ID.Short() + " is RUNNING, and is to have a checkpoint before it moves"
	for limit, why := range map[string]string{"4s": "it has not ended within 4s", "1h": "interrupted"} {
		cmd, said := drain("--timeout", limit)
		err := f.cluster.Until(f.ctx, func() (err error) {
			if !strings.Contains(said(), waits) {
				err = fmt.Errorf("it said %q, want %q", said(), waits)
			}
			return err
		})
		if err == nil && why == "interrupted" {
			err = cmd.Process.Signal(syscall.SIGINT)
		}
		if err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // the status tells
		on := "TaskManager " + chosen.TaskManager + " is drained on"
		if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(said(), on) || !strings.Contains(said(), why) {
			t.Errorf("status %d and %q, want %q in it", status, said(), why)
		}
	}
	if err := syscall.Kill(chosen.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	cmd, said := drain()
	if err := cmd.Wait(); err != nil || !strings.Contains(said(), "has ended") {
		t.Errorf("drain: %v, %q", err, said())
	}
	if end := f.wait(t, spec.ID); end.State != job.Finished || end.Restarts != 0 || end.Checkpoints.Restored != 1 {
		t.Errorf("the job is %s after %d restarts, from checkpoint %d: %s", end.State, end.Restarts, end.Checkpoints.Restored, end.Failure)
	}
	f.bothCame(t, output, records)
}
