package localcluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/tests3"
)

// TestStorageInS3: job binaries, plans and checkpoints in a bucket. A task process is killed, and then a state of the newest
// checkpoint is removed before another one is: the job continues from what is there, and its output is that of an
// undisturbed run. Checkpoints that are of no use are deleted from the bucket.
func TestStorageInS3(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f, server := inS3(t)
	j := f.submit(t, "long", 60_000, 15_000)
	f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	pid := f.running(t, j.id).Vertices[0].Subtasks[0].PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.checkpointed(t, j.id, f.restarted(t, j, 1)+2)
	if copies, _ := filepath.Glob(filepath.Join(f.dir, "*", "copies", string(j.id)+".*", "checkpoints_*")); len(copies) == 0 {
		t.Error("no TaskManager keeps copies of the states")
	}
	damaged := f.damageIn(t, server.Path("cluster"), j.id, "state-*", os.Remove)
	f.checkpointed(t, j.id, damaged+5)
	f.collected(t, server.Path("cluster/checkpoints/"+string(j.id)))
	end := f.wait(t, j.id)
	if end.State != job.Finished || end.Restarts != 3 || end.Checkpoints.Restored != damaged-1 {
		t.Errorf("the job is %s after %d restarts, continued from checkpoint %d, want %d: %s", end.State, end.Restarts, end.Checkpoints.Restored, damaged-1, end.Failure)
	}
	if got := countLines(t, j.output); got != j.words {
		t.Errorf("%d words came out, want %d", got, j.words)
	}
	for _, p := range slices.Concat(f.cluster.JobManagers, f.cluster.TaskManagers) {
		if log, err := os.ReadFile(p.Log); err != nil || strings.Contains(string(log), tests3.SecretKey) || !strings.Contains(string(log), "s3://"+tests3.Bucket) {
			t.Errorf("the log of %s (%v) must name the storage, and no secret", p.Name, err)
		}
	}
	for _, local := range []string{"storage", "data"} {
		if _, err := os.Stat(filepath.Join(f.dir, local)); err == nil {
			t.Errorf("there is a local %s", local)
		}
	}
}

// TestS3FailsForAWhile: a server that is frozen costs checkpoints, and nothing else.
func TestS3FailsForAWhile(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f, server := inS3(t)
	j := f.submit(t, "long", 60_000, 10_000)
	before := f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	server.Freeze()
	err := f.cluster.Until(f.ctx, func() error {
		now, err := f.client.Job(f.ctx, j.id)
		if err == nil && now.Checkpoints.Aborted < 1 {
			err = fmt.Errorf("no checkpoint was given up: %+v", now.Checkpoints)
		}
		return err
	})
	server.Thaw()
	if err != nil {
		t.Fatal(err)
	}
	f.checkpointed(t, j.id, f.running(t, j.id).Checkpoints.Completed[0].ID+1)
	if touched := localcluster.Touched(before, f.running(t, j.id)); len(touched) > 0 {
		t.Errorf("subtasks are not what they were: %+v", touched)
	}
	if end := f.wait(t, j.id); end.State != job.Finished || countLines(t, j.output) != j.words {
		t.Errorf("the job is %s: %s", end.State, end.Failure)
	}
}

// inS3 is a cluster whose storage is a bucket.
func inS3(t *testing.T) (*fixture, *tests3.Server) {
	server := tests3.Start(t)
	return newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{
		"storage.dir": "s3://" + tests3.Bucket + "/cluster", "storage.s3.endpoint": server.Endpoint(),
		"checkpoint.interval": "300ms", "checkpoint.timeout": "1s",
	}}), server
}

// restarted waits until a job has restarted so many times and runs, and returns its newest checkpoint.
func (f *fixture) restarted(t *testing.T, j submitted, times int) (newest job.CheckpointID) {
	t.Helper()
	err := f.cluster.Until(f.ctx, func() error {
		now, err := f.client.Job(f.ctx, j.id)
		if err == nil && now.Restarts < times {
			err = fmt.Errorf("it has restarted %d times", now.Restarts)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f.running(t, j.id).Checkpoints.Completed[0].ID
}

// collected waits until the bucket has no more checkpoints than are retained, and the one that is being written.
func (f *fixture) collected(t *testing.T, dir string) {
	t.Helper()
	err := f.cluster.Until(f.ctx, func() error {
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) > 4 {
			err = fmt.Errorf("%d checkpoints are there: %v", len(entries), entries)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
