package localcluster_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// number is a record of the doubtful job.
type number struct{ N uint64 }

const (
	doubtfulNumbers = 40_000
	doubtfulEvery   = 10 // of so many numbers one fails
)

// doubtful is a job of which some records fail: at one step they become dead letters, at another they
// are skipped.
func doubtful(env *stream.Env) {
	fails := func(n number) bool { return n.N%doubtfulEvery == 3 }
	numbers := stream.From(env, "numbers", generator.Count(doubtfulNumbers, func(i uint64) number { return number{i} }), stream.Rate(10_000))
	var dead stream.Stream[stream.DeadLetter[number]]
	checked := stream.Map(stream.Rebalance(numbers), "check", func(n number) number {
		if fails(n) {
			panic("a doubtful number")
		}
		return n
	}, stream.DeadLetters(&dead))
	kept := stream.Modify(checked, "skip", func(n *number) {
		if n.N%doubtfulEvery == 7 {
			panic("another")
		}
	}, stream.OnError(stream.Skip))
	measured := stream.Apply(kept, "measure", func(ctx *stream.Context) (func(number, func(number)) error, error) {
		taken, last := ctx.Counter("taken"), ctx.Histogram("digit", 4, 8)
		return func(n number, emit func(number)) error {
			taken.Inc()
			last.Observe(float64(n.N % 10))
			emit(n)
			return nil
		}, nil
	})
	stream.To(measured, "out", file.JSONLines[number](env.Arg("output")+"/good"))
	stream.To(dead, "rejected", file.JSONLines[stream.DeadLetter[number]](env.Arg("output")+"/dead"), stream.Parallelism(1))
}

// TestDeadLettersOnce: a task process is killed between two checkpoints, and each record that fails is
// a dead letter once. How many there were is seen while the job runs.
func TestDeadLettersOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "100ms"}})
	id, output := f.startOwn(t, "doubtful")
	f.checkpointed(t, id, 3)
	if err := syscall.Kill(f.running(t, id).Vertices[0].Subtasks[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.checkpointed(t, id, 6)
	f.seesSkipped(t, id)
	end := f.wait(t, id)
	if end.State != job.Finished || end.Restarts != 1 || end.Checkpoints.Restored < 3 {
		t.Errorf("the job is %s after %d restarts, continued from checkpoint %d: %s", end.State, end.Restarts, end.Checkpoints.Restored, end.Failure)
	}
	var good, dead []uint64
	for _, n := range readLines[number](t, filepath.Join(output, "good")) {
		good = append(good, n.N)
	}
	for _, d := range readLines[stream.DeadLetter[number]](t, filepath.Join(output, "dead")) {
		dead = append(dead, d.Record.N)
		if d.Error != "panic: a doubtful number" || d.Operator != "check" {
			t.Fatalf("got %+v", d)
		}
	}
	var wantGood, wantDead []uint64
	for n := range uint64(doubtfulNumbers) {
		switch n % doubtfulEvery {
		case 3:
			wantDead = append(wantDead, n)
		case 7:
		default:
			wantGood = append(wantGood, n)
		}
	}
	slices.Sort(good)
	slices.Sort(dead)
	if !slices.Equal(good, wantGood) || !slices.Equal(dead, wantDead) {
		t.Errorf("%d good and %d dead letters came out, want %d and %d, each once", len(good), len(dead), len(wantGood), len(wantDead))
	}
}

// startOwn submits a job of this test binary, and returns where its output goes.
func (f *fixture) startOwn(t *testing.T, name string) (client.ID, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := f.client.Upload(f.ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(f.dir, name)
	spec := client.Spec{ID: client.NewID(), Name: name, Artifact: artifact, Parallelism: 2, Args: []string{"--job", name, "--output", output}}
	if _, err := f.client.Submit(f.ctx, spec); err != nil {
		t.Fatal(err)
	}
	return spec.ID, output
}

// seesSkipped waits until the job and the metrics tell of records that were given up.
func (f *fixture) seesSkipped(t *testing.T, id client.ID) {
	t.Helper()
	err := f.cluster.Until(f.ctx, func() error {
		j, err := f.client.Job(f.ctx, id)
		if err != nil {
			return err
		}
		skipped, measured := map[string]uint64{}, 0
		for _, v := range j.Vertices {
			for _, op := range v.Operators {
				skipped[op.Name] = op.Skipped
				measured += len(op.Metrics)
			}
		}
		text, err := f.metrics(t)
		if err != nil {
			return err
		}
		series := fmt.Sprintf(`perennial_operator_records_skipped_total{job_id="%s",job_name="test",operator="check"} `, id)
		own := fmt.Sprintf(`{job_id="%s",job_name="test",operator="measure",vertex="check`, id)
		for _, name := range []string{"perennial_user_taken_total" + own, "perennial_user_digit_bucket" + own} {
			if !strings.Contains(text, name) || measured != 2 {
				return fmt.Errorf("%d metrics of user functions, and no %s in:\n%s", measured, name, text)
			}
		}
		if skipped["check"] == 0 || skipped["skip"] == 0 || !strings.Contains(text, series) || strings.Contains(text, series+"0\n") {
			return fmt.Errorf("skipped: %v; metrics:\n%s", skipped, text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// metrics is what the leader tells Prometheus.
func (f *fixture) metrics(t *testing.T) (string, error) {
	t.Helper()
	_, leader, err := f.cluster.Leader(f.ctx, f.client)
	if err != nil {
		return "", err
	}
	answer, err := http.Get("http://" + leader.REST + "/metrics")
	if err != nil {
		return "", err
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// readLines reads the visible files of a JSON-lines sink.
func readLines[T any](t *testing.T, dir string) []T {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var v T
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			all = append(all, v)
		}
	}
	return all
}
