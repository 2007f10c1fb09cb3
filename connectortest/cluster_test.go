package connectortest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// TestLedgerWhateverDies runs a job on real processes that die at each step of a transaction. What is committed
// is what an undisturbed run commits.
func TestLedgerWhateverDies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the test's two minutes are over"))
	defer cancel()
	cluster, c := startCluster(ctx, t, "50ms")
	for _, die := range []string{"never", "write", "before prepare", "after prepare", "before commit", "after commit", "before late commit", "after late commit"} {
		t.Run(die, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ledger")
			j := end(ctx, t, cluster, c, submit(ctx, t, c, "--ledger", dir, "--die", die))
			if want := restarts(die); j.State != job.Finished || j.Restarts != want {
				t.Errorf("the job is %s after %d restarts, want %d: %s", j.State, j.Restarts, want, j.Failure)
			}
			checkLedger(t, dir)
		})
	}
}

// TestLastTransactions: a job that is shorter than the interval has a checkpoint for its end, and dies about it.
func TestLastTransactions(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the test's two minutes are over"))
	defer cancel()
	cluster, c := startCluster(ctx, t, "1h")
	for die, restored := range map[string]job.CheckpointID{"never": 0, "after any prepare": 0, "before any commit": 1, "after any commit": 1} {
		dir := filepath.Join(t.TempDir(), "ledger")
		j := end(ctx, t, cluster, c, submit(ctx, t, c, "--ledger", dir, "--die", die))
		if j.State != job.Finished || j.Restarts != restarts(die) || j.Checkpoints.Restored != restored {
			t.Errorf("%s: the job is %s after %d restarts and %+v, want it restored from %d: %s", die, j.State, j.Restarts, j.Checkpoints, restored, j.Failure)
		}
		checkLedger(t, dir)
	}
}

// TestWatchWhateverDies: files come while the job runs, and are removed once all of each is committed. Whatever dies,
// every line is committed once.
func TestWatchWhateverDies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the test's two minutes are over"))
	defer cancel()
	cluster, c := startCluster(ctx, t, "50ms")
	for _, die := range []string{"write", "after prepare", "before commit"} {
		dir := t.TempDir()
		in, ledger := filepath.Join(dir, "in"), filepath.Join(dir, "ledger")
		if err := os.Mkdir(in, 0o777); err != nil {
			t.Fatal(err)
		}
		id := submit(ctx, t, c, "--ledger", ledger, "--die", die, "--watch", in)
		for first := 0; first < mortalRecords; first += mortalRecords / 10 {
			feed(t, in, first, first+mortalRecords/10)
			if err := cluster.Until(ctx, func() error { return eat(ctx, c, id, in, ledger, first+mortalRecords/10) }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Cancel(ctx, id); err != nil {
			t.Fatal(err)
		}
		if j := end(ctx, t, cluster, c, id); j.Restarts != 1 {
			t.Errorf("%s: the job is %s after %d restarts, want 1: %s", die, j.State, j.Restarts, j.Failure)
		}
		checkLedger(t, ledger)
	}
}

// TestStopAndContinue: when a job was stopped, all is committed that its savepoint says, and no transaction is left.
// Another one goes on exactly there.
func TestStopAndContinue(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the test's two minutes are over"))
	defer cancel()
	cluster, c := startCluster(ctx, t, "50ms")
	for _, drain := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "ledger")
		args := []string{"--ledger", dir, "--die", "never", "--rate", "500"}
		id := submit(ctx, t, c, args...)
		if err := cluster.Until(ctx, func() error { return eat(ctx, c, id, dir+".none", dir, 300) }); err != nil {
			t.Fatal(err)
		}
		stopped, err := c.Stop(ctx, id, "", drain)
		if err != nil {
			t.Fatal(err)
		}
		if j := end(ctx, t, cluster, c, id); j.State != job.Finished || j.Restarts != 0 {
			t.Fatalf("the job is %s after %d restarts: %s", j.State, j.Restarts, j.Failure)
		}
		if n, left := committedIn(t, dir); n >= mortalRecords || left > 0 {
			t.Errorf("drain %t: %d records are committed, and %d transactions left", drain, n, left)
		}
		next := spec(ctx, t, c, args...)
		next.Savepoint, next.Continues, next.Parallelism = stopped.Savepoint, true, 1
		if _, err := c.Submit(ctx, next); err != nil {
			t.Fatal(err)
		}
		if j := end(ctx, t, cluster, c, next.ID); j.State != job.Finished {
			t.Errorf("the next job is %s: %s", j.State, j.Failure)
		}
		checkLedger(t, dir)
	}
}

func committedIn(t *testing.T, dir string) (records, left int) {
	t.Helper()
	l, err := OpenLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Committed[int](l)
	if err != nil {
		t.Fatal(err)
	}
	left, err = l.Left()
	if err != nil {
		t.Fatal(err)
	}
	return len(got), left
}

// feed puts files of 50 numbers each into a directory.
func feed(t *testing.T, dir string, from, to int) {
	t.Helper()
	for ; from < to; from += 50 {
		var text strings.Builder
		for i := from; i < min(from+50, to); i++ {
			fmt.Fprintln(&text, i)
		}
		name := fmt.Sprintf("%05d", from)
		hidden := filepath.Join(dir, "."+name)
		err := errors.Join(os.WriteFile(hidden, []byte(text.String()), 0o666), os.Rename(hidden, filepath.Join(dir, name)))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// eat removes the files once so many numbers are committed; until then it returns an error.
func eat(ctx context.Context, c *client.Client, id client.ID, dir, ledger string, want int) error {
	l, err := OpenLedger(ledger)
	if err != nil {
		return err
	}
	got, err := Committed[int](l)
	if err != nil {
		return err
	}
	if len(got) < want {
		j, err := c.Job(ctx, id)
		return fmt.Errorf("%d numbers are committed, want %d; the job is %s: %s (%v)", len(got), want, j.State, j.Failure, err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

func submit(ctx context.Context, t *testing.T, c *client.Client, args ...string) client.ID {
	t.Helper()
	s := spec(ctx, t, c, args...)
	if _, err := c.Submit(ctx, s); err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// spec describes a job of this test binary.
func spec(ctx context.Context, t *testing.T, c *client.Client, args ...string) client.Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := c.Upload(ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	return client.Spec{ID: client.NewID(), Name: "ledger", Artifact: artifact, Parallelism: 2, Args: args}
}

func startCluster(ctx context.Context, t *testing.T, interval string) (*localcluster.Cluster, *client.Client) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "perennial")
	if text, err := exec.Command("go", "build", "-o", binary, "github.com/perennial-io/perennial/cmd/perennial").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cluster, err := localcluster.Start(localcluster.Config{
		Binary: binary, Dir: dir, JobManagers: 1, TaskManagers: 2, Slots: 2,
		Settings: map[string]string{"checkpoint.interval": interval},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Client()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(cluster.Logs())
		}
		c.Close()
		cluster.Stop()
	})
	if err := cluster.Ready(ctx, c); err != nil {
		t.Fatal(err)
	}
	return cluster, c
}

// end waits for a job's end.
func end(ctx context.Context, t *testing.T, cluster *localcluster.Cluster, c *client.Client, id client.ID) (j client.Job) {
	t.Helper()
	err := cluster.Until(ctx, func() (err error) {
		if j, err = c.Job(ctx, id); err == nil && !j.State.Terminal() {
			err = fmt.Errorf("the job is %s", j.State)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func checkLedger(t *testing.T, dir string) {
	t.Helper()
	l, err := OpenLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Committed[int](l)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := make([]int, mortalRecords)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d records are committed, %d of them different, want %d once each", len(got), len(slices.Compact(got)), len(want))
	}
	if left, err := l.Left(); left != 0 || err != nil {
		t.Errorf("%d transactions are left behind, %v", left, err)
	}
}

func restarts(die string) int {
	if die == "never" {
		return 0
	}
	return 1
}
