package minicluster_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/internal/minicluster"
	"github.com/perennial-io/perennial/stream"
)

func TestMain(m *testing.M) {
	minicluster.Main(m, minicluster.Jobs{"count": count, "panics": panics})
}

// keys and perKey are what the job counts: it emits perKey records of each key.
const (
	keys   = 20
	perKey = 50
)

// Count is a row of the job's output.
type Count struct{ Key, Count int }

// count emits half of its records, waits for the file --gate if one is named, emits the rest and
// counts them by key.
func count(env *stream.Env) {
	gate, output := env.ArgOr("gate", ""), env.Arg("output")
	numbers := stream.FromFunc(env, "numbers", func(ctx *stream.Context, emit func(int)) error {
		for i := range keys * perKey {
			if i == keys*perKey/2 && gate != "" {
				if err := await(ctx, gate); err != nil {
					return err
				}
			}
			if i%ctx.Parallelism() == ctx.Subtask() {
				emit(i % keys)
			}
		}
		return nil
	}, stream.Parallelism(2))
	counts := stream.Aggregate(stream.KeyBy(numbers, func(k int) int { return k }), "count",
		func(n *int, _ int) { *n++ }, func(k, n int) Count { return Count{k, n} })
	stream.To(counts, "counts", file.CSV[Count](output))
}

// await waits until there is a file.
func await(ctx context.Context, path string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// panics has a user function with a fault, in one subtask of two.
func panics(env *stream.Env) {
	numbers := stream.FromFunc(env, "numbers", func(_ *stream.Context, emit func(int)) error {
		for i := range 100 {
			emit(i)
		}
		return nil
	})
	odd := stream.Map(stream.Rebalance(numbers), "faulty", func(i int) int {
		if i == 77 {
			panic("77 is too much")
		}
		return i
	})
	stream.ForEach(odd, "out", func(int) {})
}

// counting is a job "count" of a test, and where it waits and writes.
type counting struct {
	t            *testing.T
	c            *minicluster.Cluster
	id           client.ID
	gate, output string
}

func newCounting(t *testing.T, c *minicluster.Cluster) *counting {
	dir := t.TempDir()
	return &counting{t: t, c: c, gate: filepath.Join(dir, "gate"), output: filepath.Join(dir, "out")}
}

func (k *counting) args() []string { return []string{"--gate", k.gate, "--output", k.output} }

// submit submits the job with four subtasks of each operator that says no other.
func (k *counting) submit() *counting {
	k.t.Helper()
	k.id = k.c.Submit("count", 4, k.args()...)
	return k
}

// open lets the job go on.
func (k *counting) open() {
	k.t.Helper()
	if err := os.WriteFile(k.gate, nil, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// finish lets the job go on to its end, and requires that its output is right, published once,
// by this attempt.
func (k *counting) finish(attempt int) {
	k.t.Helper()
	k.open()
	j := k.c.End(k.id)
	if j.State != "FINISHED" || j.Attempts != attempt {
		k.t.Fatalf("the job is %s after %d attempts, want it FINISHED after %d: %s", j.State, j.Attempts, attempt, j.Failure)
	}
	k.published(attempt)
}

// published requires the whole output in files of one attempt.
func (k *counting) published(attempt int) {
	k.t.Helper()
	var rows []string
	for _, name := range k.visible() {
		if !strings.HasSuffix(name, fmt.Sprintf("-%d.csv", attempt)) {
			k.t.Errorf("%s is visible, and attempt %d has the output", name, attempt)
		}
		text, err := os.ReadFile(filepath.Join(k.output, name))
		if err != nil {
			k.t.Fatal(err)
		}
		rows = append(rows, strings.Split(strings.TrimSpace(string(text)), "\n")[1:]...)
	}
	var want []string
	for key := range keys {
		want = append(want, fmt.Sprintf("%d,%d", key, perKey))
	}
	slices.Sort(rows)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		k.t.Errorf("the output is %q, want %q", rows, want)
	}
}

// visible are the names of the output's files.
func (k *counting) visible() []string {
	k.t.Helper()
	entries, err := os.ReadDir(k.output)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// hidden counts the files that a job has written and not published.
func (k *counting) hidden() int {
	k.t.Helper()
	names, err := filepath.Glob(filepath.Join(k.output, ".part-*"))
	if err != nil {
		k.t.Fatal(err)
	}
	return len(names)
}

// untouched requires that the subtasks are those from before: of the same attempt, in the same
// processes.
func untouched(t *testing.T, before, after client.Job) {
	t.Helper()
	if after.Attempts != before.Attempts {
		t.Errorf("%d attempts became %d", before.Attempts, after.Attempts)
	}
	for v, vertex := range before.Vertices {
		for i, was := range vertex.Subtasks {
			if is := after.Vertices[v].Subtasks[i]; is.PID != was.PID || is.TaskManager != was.TaskManager || is.Attempt != was.Attempt {
				t.Errorf("subtask %d of %s was %+v and is %+v", i, vertex.Name, was, is)
			}
		}
	}
}
