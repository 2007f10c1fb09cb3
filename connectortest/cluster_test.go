package connectortest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// TestMain is also the main function of the job.
func TestMain(m *testing.M) {
	if os.Getenv("PERENNIAL_ROLE") != "" {
		stream.Main("ledger", buildMortal)
	}
	os.Exit(m.Run())
}

const mortalRecords = 3000

// buildMortal is a job whose process dies once, at the step that --die names.
func buildMortal(env *stream.Env) {
	numbers := stream.From(env, "numbers", generator.Count(mortalRecords, func(i uint64) int { return int(i) }), stream.Rate(3000))
	stream.To(stream.Rebalance(numbers), "ledger", connector.Transactional[int](mortal{entries[int](env.Arg("ledger")), env.Arg("die")}))
}

// mortal is the ledger's sink in a process that dies at a step.
type mortal struct {
	entries[int]
	die string
}

func (s mortal) Begin(ctx *connector.Context) (connector.TransactionalWriter[int], error) {
	w, err := s.entries.Begin(ctx)
	return &mortalWriter{TransactionalWriter: w, ctx: ctx, sink: s}, err
}

type mortalWriter struct {
	connector.TransactionalWriter[int]
	ctx     *connector.Context
	sink    mortal
	records int
	commits atomic.Int32
	last    atomic.Bool // the input has ended
}

// pass is a step. At the one that is named the process dies, the first time that any process comes there.
func (w *mortalWriter) pass(step string) {
	if step != w.sink.die || w.ctx.Subtask() != 0 {
		return
	}
	f, err := os.OpenFile(string(w.sink.entries)+".died", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return // it has died before
	}
	f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (w *mortalWriter) Write(records []int) error {
	w.records += len(records)
	if w.records > mortalRecords/8 {
		w.pass("write")
	}
	return w.TransactionalWriter.Write(records)
}

func (w *mortalWriter) Prepare() (connector.Committable, error) {
	w.last.Store(w.records >= mortalRecords/2-mortalRecords/10)
	if w.records > mortalRecords/8 {
		w.pass("before prepare")
	}
	c, err := w.TransactionalWriter.Prepare()
	if w.records > mortalRecords/8 {
		w.pass("after prepare")
	}
	return c, err
}

func (w *mortalWriter) Commit(ctx context.Context, c connector.Committable) error {
	step := "commit"
	if w.last.Load() {
		step = "late commit"
	}
	if w.commits.Add(1) > 2 {
		w.pass("before " + step)
	}
	err := w.TransactionalWriter.Commit(ctx, c)
	if w.commits.Load() > 2 {
		w.pass("after " + step)
	}
	return err
}

// TestLedgerWhateverDies runs a job on real processes that die at each step of a transaction. What is committed
// is what an undisturbed run commits.
func TestLedgerWhateverDies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the test's two minutes are over"))
	defer cancel()
	cluster, c := startCluster(ctx, t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := c.Upload(ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	for _, die := range []string{"never", "write", "before prepare", "after prepare", "before commit", "after commit", "before late commit", "after late commit"} {
		t.Run(die, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ledger")
			spec := client.Spec{ID: client.NewID(), Name: "ledger", Artifact: artifact, Parallelism: 2, Args: []string{"--ledger", dir, "--die", die}}
			if _, err := c.Submit(ctx, spec); err != nil {
				t.Fatal(err)
			}
			j := end(ctx, t, cluster, c, spec.ID)
			if want := restarts(die); j.State != job.Finished || j.Restarts != want {
				t.Errorf("the job is %s after %d restarts, want %d: %s", j.State, j.Restarts, want, j.Failure)
			}
			checkLedger(t, dir)
		})
	}
}

func startCluster(ctx context.Context, t *testing.T) (*localcluster.Cluster, *client.Client) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "perennial")
	if text, err := exec.Command("go", "build", "-o", binary, "github.com/perennial-io/perennial/cmd/perennial").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cluster, err := localcluster.Start(localcluster.Config{
		Binary: binary, Dir: dir, JobManagers: 1, TaskManagers: 2, Slots: 2,
		Settings: map[string]string{"checkpoint.interval": "50ms"},
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
