package localcluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// damages are what may become of a file of the newest checkpoint.
var damages = []struct {
	name, file string // the latter a pattern within its directory
	do         func(path string) error
}{
	{"a flipped bit of a state", "state-*", flip},
	{"a truncated state", "state-*", func(path string) error { return os.Truncate(path, 100) }},
	{"a missing state", "state-*", os.Remove},
	{"a flipped bit of a manifest", "manifest-*", flip},
	{"a truncated manifest", "manifest-*", func(path string) error { return os.Truncate(path, 100) }},
	{"a missing manifest", "manifest-*", os.Remove},
}

func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 4
	return os.WriteFile(path, b, 0o644)
}

// TestDamagedCheckpoint: whatever became of the newest checkpoint is noticed, the one before is restored, and
// the output is that of an undisturbed run.
func TestDamagedCheckpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "300ms"}})
	for i, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			j := f.submit(t, fmt.Sprint("job", i), 40_000, 20_000)
			f.running(t, j.id)
			f.checkpointed(t, j.id, 3)
			damaged := f.damageIn(t, filepath.Join(f.dir, "storage"), j.id, d.file, d.do)
			end := f.wait(t, j.id)
			if end.State != job.Finished || end.Restarts != 2 || end.Checkpoints.Restored != damaged-1 {
				t.Errorf("the job is %s after %d restarts, continued from checkpoint %d: %s; want checkpoint %d to be struck",
					end.State, end.Restarts, end.Checkpoints.Restored, end.Failure, damaged)
			}
			if told := fmt.Sprintf("checkpoint %d", damaged); !strings.Contains(end.Checkpoints.Damaged, told) {
				t.Errorf("what is told of the damage is %q; want %s named", end.Checkpoints.Damaged, told)
			}
			if got := countLines(t, j.output); got != j.words {
				t.Errorf("%d words came out, want %d", got, j.words)
			}
		})
	}
}

// damageIn spoils a file of the newest checkpoint, in the storage's directory, and kills a task process. It freezes that first, just after
// a checkpoint was completed and long before the next is due: so no newer one comes in between.
func (f *fixture) damageIn(t *testing.T, storage string, id client.ID, pattern string, do func(string) error) job.CheckpointID {
	t.Helper()
	first := f.running(t, id)
	f.checkpointed(t, id, first.Checkpoints.Completed[0].ID+1)
	pid := first.Vertices[0].Subtasks[0].PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	j := f.running(t, id)
	newest := j.Checkpoints.Completed[0]
	dir := filepath.Join(storage, filepath.Dir(newest.Location))
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	if err := do(files[len(files)-1]); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return newest.ID
}

// TestStorageFailsForAWhile: checkpoints are given up while storage cannot be written, the job goes on, and
// checkpoints go on when it can again.
func TestStorageFailsForAWhile(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "100ms"}})
	j := f.submit(t, "long", 60_000, 15_000)
	before := f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	dir := filepath.Join(f.dir, "storage", "checkpoints")
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o444); err != nil { // root may write what is read-only, but not below a file
		t.Fatal(err)
	}
	err := f.cluster.Until(f.ctx, func() error {
		now, err := f.client.Job(f.ctx, j.id)
		if err == nil && now.Checkpoints.Aborted < 2 {
			err = fmt.Errorf("%d checkpoints were given up: %+v", now.Checkpoints.Aborted, now.Checkpoints)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	newest := f.running(t, j.id).Checkpoints
	if !strings.Contains(newest.LastAbort, "not a directory") {
		t.Errorf("the reason is %q, want what the system said", newest.LastAbort)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	f.checkpointed(t, j.id, newest.Completed[0].ID+1)
	if log := f.cluster.Logs(); strings.Count(log, "a checkpoint was given up") != 1 || strings.Count(log, "checkpoints succeed again") != 1 {
		t.Error("that storage failed was not said once, and once that it does not any more")
	}
	if touched := localcluster.Touched(before, f.running(t, j.id)); len(touched) > 0 {
		t.Errorf("subtasks are not what they were: %+v", touched)
	}
	if end := f.wait(t, j.id); end.State != job.Finished || countLines(t, j.output) != j.words {
		t.Errorf("the job is %s: %s", end.State, end.Failure)
	}
}
