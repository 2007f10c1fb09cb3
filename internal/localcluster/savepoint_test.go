package localcluster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/stream"
)

// keys is how many keys the numbers of a tally have.
const keys = 97

// talliedRow says that a record was the Nth of its key.
type talliedRow struct{ Key, N uint64 }

// The states of a tally, by --version.
type (
	tally1 struct{ N uint64 }
	tally2 struct{ N, Seen uint64 } // a field more
	tally3 struct{ N string }       // cannot be read from either
)

// tallied counts numbers by key, for ever: each record comes out with the count of its key, so that
// state which is lost, or restored twice, shows. Numbers from --records on come to nothing.
func tallied(env *stream.Env) {
	records, version := uint64(env.IntArg("records")), env.IntArgOr("version", 1)
	numbers := stream.From(env, "numbers", generator.Unbounded(func(i uint64) uint64 { return i }), stream.Rate(env.FloatArgOr("rate", 0)))
	few := stream.Filter(numbers, "few", func(i uint64) bool { return i < records })
	keyed := stream.KeyBy(few, func(i uint64) uint64 { return i % keys })
	var rows stream.Stream[talliedRow]
	switch version {
	case 1:
		rows = stream.Aggregate(keyed, "count", func(t *tally1, _ uint64) { t.N++ }, func(k uint64, t tally1) talliedRow { return talliedRow{k, t.N} })
	case 2:
		rows = stream.Aggregate(keyed, "count", func(t *tally2, _ uint64) { t.N++; t.Seen++ }, func(k uint64, t tally2) talliedRow { return talliedRow{k, t.N} })
	case 3:
		rows = stream.Aggregate(keyed, "count", func(t *tally3, _ uint64) { t.N += "I" }, func(k uint64, t tally3) talliedRow { return talliedRow{k, uint64(len(t.N))} })
	}
	stream.To(rows, "out", file.JSONLines[talliedRow](env.Arg("output")))
}

// tally is a job of this test binary.
type tally struct {
	spec    client.Spec
	output  string
	records int
}

func (f *fixture) tally(t *testing.T, records int) tally {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := f.client.Upload(f.ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	j := tally{output: filepath.Join(f.dir, "tally.out"), records: records}
	j.spec = client.Spec{ID: client.NewID(), Name: "tally", Artifact: artifact, Parallelism: 2, Args: j.args(1)}
	if _, err := f.client.Submit(f.ctx, j.spec); err != nil {
		t.Fatal(err)
	}
	return j
}

func (j tally) args(version int) []string {
	return []string{"--job", "tally", "--records", strconv.Itoa(j.records), "--output", j.output, "--rate", "4000", "--version", strconv.Itoa(version)}
}

// visible waits until as many rows are visible as the part says of all.
func (f *fixture) visible(t *testing.T, j tally, part float64) []string {
	t.Helper()
	var got []string
	err := f.cluster.Until(f.ctx, func() (err error) {
		got = j.rows(t)
		if len(got) < int(float64(j.records)*part) {
			err = fmt.Errorf("%d of %d rows are visible", len(got), j.records)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (j tally) rows(t *testing.T) []string {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(j.output, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, p := range parts {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, strings.Fields(string(b))...)
	}
	slices.Sort(rows)
	return rows
}

// whole waits until every row is there, and demands that each is there once.
func (f *fixture) whole(t *testing.T, j tally) {
	t.Helper()
	got := f.visible(t, j, 1)
	var want []string
	for i := range j.records {
		want = append(want, fmt.Sprintf(`{"Key":%d,"N":%d}`, i%keys, i/keys+1))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d rows came out, want %d; the first difference is %v", len(got), len(want), firstDifference(got, want))
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%s, want %s", got[i], want[i])
		}
	}
	return "at the end"
}

func (f *fixture) end(t *testing.T, id client.ID) {
	t.Helper()
	if _, err := f.client.Cancel(f.ctx, id); err != nil {
		t.Error(err)
	}
	f.wait(t, id)
}

func savepointFixture(t *testing.T) *fixture {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	return newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "200ms"}})
}

// TestStopAndContinue: what a job put out before it was stopped, and what another one of another parallelism
// put out that continued from its savepoint, which was moved, are together what one undisturbed would have.
func TestStopAndContinue(t *testing.T) {
	f := savepointFixture(t)
	j := f.tally(t, 20_000)
	f.running(t, j.spec.ID)
	f.visible(t, j, 0.2)
	stopped, err := f.client.Stop(f.ctx, j.spec.ID, filepath.Join(f.dir, "saved"), false)
	if err != nil {
		t.Fatal(err)
	}
	if end := f.wait(t, j.spec.ID); end.State != job.Finished {
		t.Fatalf("the stopped job is %s: %s", end.State, end.Failure)
	}
	before := len(j.rows(t))
	moved := filepath.Join(f.dir, "moved")
	if err := os.Rename(stopped.Savepoint, moved); err != nil {
		t.Fatal(err)
	}
	next := j
	next.spec.ID, next.spec.Parallelism, next.spec.Savepoint, next.spec.Continues = client.NewID(), 3, moved, true
	if _, err := f.client.Submit(f.ctx, next.spec); err != nil {
		t.Fatal(err)
	}
	now := f.running(t, next.spec.ID)
	if now.Checkpoints.Savepoint != moved || now.Attempt != 2 || now.Restarts != 0 {
		t.Errorf("the job continued from %q under attempt %d, after %d restarts", now.Checkpoints.Savepoint, now.Attempt, now.Restarts)
	}
	f.whole(t, j)
	if before >= j.records {
		t.Error("the job was stopped when all was out")
	}
	f.end(t, next.spec.ID)
}

// TestContinueFromADamagedSavepoint: no job begins with less than what was saved, and it says whose state it is that was not kept.
func TestContinueFromADamagedSavepoint(t *testing.T) {
	f := savepointFixture(t)
	j := f.tally(t, 20_000)
	f.running(t, j.spec.ID)
	f.visible(t, j, 0.2)
	stopped, err := f.client.Stop(f.ctx, j.spec.ID, "", false)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(stopped.Savepoint, "chk-*-state-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no state in %s: %v", stopped.Savepoint, err)
	}
	if err := flip(files[0]); err != nil {
		t.Fatal(err)
	}
	next := j
	next.spec.ID, next.spec.Savepoint, next.spec.Continues = client.NewID(), stopped.Savepoint, true
	if _, err := f.client.Submit(f.ctx, next.spec); err != nil {
		t.Fatal(err)
	}
	end := f.wait(t, next.spec.ID)
	if end.State != job.Failed {
		t.Errorf("the job is %s", end.State)
	}
	for _, says := range []string{"savepoint " + stopped.Savepoint + " cannot be restored", `operator "count", subtask `, files[0] + " has CRC-32C "} {
		if !strings.Contains(end.Failure, says) {
			t.Errorf("the job says %q, want %q in it", end.Failure, says)
		}
	}
}

// TestDrain: results come out before the savepoint is made.
func TestDrain(t *testing.T) {
	f := savepointFixture(t)
	j := f.submit(t, "drained", 100_000, 5_000)
	f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	drained, err := f.client.Stop(f.ctx, j.id, "", true)
	if err != nil {
		t.Fatal(err)
	}
	if end := f.wait(t, j.id); end.State != job.Finished {
		t.Fatalf("the job is %s: %s", end.State, end.Failure)
	}
	if got := countLines(t, j.output); got == 0 || got >= j.words {
		t.Errorf("%d words came out of %d, want some", got, j.words)
	}
	if !strings.HasPrefix(drained.Savepoint, filepath.Join(f.dir, "storage", "savepoints")) {
		t.Errorf("the savepoint is %s", drained.Savepoint)
	}
	if _, err := storage.OpenSavepoint(f.ctx, drained.Savepoint); err != nil {
		t.Error(err)
	}
}

// TestRescale: a running job goes on with more and with fewer subtasks, and its output is that of an
// undisturbed one. What cannot be done is refused, and touches nothing.
func TestRescale(t *testing.T) {
	f := savepointFixture(t)
	j := f.tally(t, 24_000)
	f.running(t, j.spec.ID)
	for i, p := range []int{4, 1} {
		f.visible(t, j, 0.25*float64(i+1))
		r, err := f.client.Change(f.ctx, j.spec.ID, client.Change{Parallelism: p})
		if err != nil {
			t.Fatal(err)
		}
		now := f.running(t, j.spec.ID)
		if now.Parallelism != p || now.Restarts != 0 || r.DowntimeMillis <= 0 || r.DowntimeMillis > float64(time.Minute.Milliseconds()) {
			t.Errorf("after rescale to %d: parallelism %d, restarts %d, downtime %.0f ms", p, now.Parallelism, now.Restarts, r.DowntimeMillis)
		}
		t.Logf("rescale to %d stood still for %.1f ms", p, r.DowntimeMillis)
	}
	before := f.running(t, j.spec.ID)
	for p, says := range map[int]string{1: "nothing would change", 100: "start TaskManagers", 300: "256"} {
		_, err := f.client.Change(f.ctx, j.spec.ID, client.Change{Parallelism: p})
		if refused, ok := errors.AsType[*client.RefusedError](err); !ok || !strings.Contains(err.Error(), says) {
			t.Errorf("rescale to %d: %v %v, want a refusal that says %q", p, refused, err, says)
		}
	}
	if touched := localcluster.Touched(before, f.running(t, j.spec.ID)); len(touched) > 0 {
		t.Errorf("subtasks are not what they were: %+v", touched)
	}
	f.whole(t, j)
	f.end(t, j.spec.ID)
}

// TestUpgrade: another binary takes over the state of a running job, with a field more in it. One that cannot
// read it is refused, and touches nothing.
func TestUpgrade(t *testing.T) {
	f := savepointFixture(t)
	j := f.tally(t, 16_000)
	before := f.running(t, j.spec.ID)
	f.visible(t, j, 0.2)
	_, err := f.client.Change(f.ctx, j.spec.ID, client.Change{Artifact: j.spec.Artifact, Args: j.args(3)})
	if _, ok := errors.AsType[*client.RefusedError](err); !ok || !strings.Contains(err.Error(), `"count"`) || !strings.Contains(err.Error(), "N") {
		t.Errorf("an upgrade to a state that cannot be read: %v, want a refusal that names operator and field", err)
	}
	if touched := localcluster.Touched(before, f.running(t, j.spec.ID)); len(touched) > 0 {
		t.Errorf("subtasks are not what they were: %+v", touched)
	}
	if _, err := f.client.Change(f.ctx, j.spec.ID, client.Change{Artifact: j.spec.Artifact, Args: j.args(2)}); err != nil {
		t.Fatal(err)
	}
	f.whole(t, j)
	f.end(t, j.spec.ID)
}

// TestRequestsOutliveTheLeader: the leader dies as soon as it was asked. Each request has its effect, once.
func TestRequestsOutliveTheLeader(t *testing.T) {
	f := savepointFixture(t)
	j := f.tally(t, 24_000)
	id := j.spec.ID
	f.running(t, id)
	for i, ask := range []func() (client.Request, error){
		func() (client.Request, error) { return f.client.Checkpoint(f.ctx, id) },
		func() (client.Request, error) { return f.client.Savepoint(f.ctx, id, "") },
		func() (client.Request, error) { return f.client.Change(f.ctx, id, client.Change{Parallelism: 3}) },
		func() (client.Request, error) { return f.client.Stop(f.ctx, id, "", false) },
	} {
		f.visible(t, j, 0.15*float64(i+1))
		answer := make(chan error, 1)
		go func() {
			_, err := ask()
			answer <- err
		}()
		f.asked(t, id, i+1)
		leader := f.cluster.JobManagers[0]
		leader.Kill()
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	end := f.wait(t, id)
	if end.State != job.Finished || end.Restarts != 0 || end.Attempt != 2 || len(end.Requests) != 4 {
		t.Errorf("the job is %s after %d attempts, %d restarts and %d requests: %s", end.State, end.Attempt, end.Restarts, len(end.Requests), end.Failure)
	}
	next := j
	next.spec.ID, next.spec.Savepoint, next.spec.Continues = client.NewID(), end.Requests[3].Savepoint, true
	if _, err := f.client.Submit(f.ctx, next.spec); err != nil {
		t.Fatal(err)
	}
	f.whole(t, j)
	f.end(t, next.spec.ID)
}

// asked waits until so many requests of a job are committed.
func (f *fixture) asked(t *testing.T, id client.ID, n int) {
	t.Helper()
	err := f.cluster.Until(f.ctx, func() error {
		j, err := f.client.Job(f.ctx, id)
		if err == nil && len(j.Requests) < n {
			err = fmt.Errorf("%d requests are committed", len(j.Requests))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
