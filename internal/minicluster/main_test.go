package minicluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/internal/job"
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

// Count is a row of the job's output, Seen one of its other output.
type (
	Count struct{ Key, Count int }
	Seen  struct{ Key int }
)

// count emits half of its records, waits for the file --gate, emits the rest and counts them by
// key. It also writes down what it has seen, from the beginning.
func count(env *stream.Env) {
	gate, output := env.Arg("gate"), env.Arg("output")
	numbers := stream.FromFunc(env, "numbers", func(ctx *stream.Context, emit func(int)) error {
		for i := range keys * perKey {
			if i == keys*perKey/2 {
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
	seen := stream.Map(stream.Rebalance(numbers), "see", func(k int) Seen { return Seen{k} })
	stream.To(seen, "seen", file.CSV[Seen](filepath.Join(output, "seen")))
	counts := stream.Aggregate(stream.KeyBy(numbers, func(k int) int { return k }), "count",
		func(n *int, _ int) { *n++ }, func(k, n int) Count { return Count{k, n} })
	stream.To(counts, "counts", file.CSV[Count](filepath.Join(output, "counts")))
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

// panics has a user function with a fault, in its second subtask.
func panics(env *stream.Env) {
	numbers := stream.FromFunc(env, "faulty", func(ctx *stream.Context, emit func(int)) error {
		emit(ctx.Subtask())
		if ctx.Subtask() == 1 {
			panic("77 is too much")
		}
		return nil
	}, stream.Parallelism(2))
	stream.ForEach(numbers, "out", func(int) {})
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
func (k *counting) finish(attempt job.Attempt) {
	k.t.Helper()
	k.open()
	j := k.c.End(k.id)
	if j.State != "FINISHED" || j.Attempt != attempt {
		k.t.Fatalf("the job is %s after %d attempts, want it FINISHED after %d: %s", j.State, j.Attempt, attempt, j.Failure)
	}
	k.published(attempt)
}

// published requires the whole output in files of one attempt.
func (k *counting) published(attempt job.Attempt) {
	k.t.Helper()
	var counts, seen []string
	for key := range keys {
		counts = append(counts, fmt.Sprintf("%d,%d", key, perKey))
		seen = append(seen, slices.Repeat([]string{fmt.Sprint(key)}, perKey)...)
	}
	for dir, want := range map[string][]string{"counts": counts, "seen": seen} {
		rows := k.rows(dir, fmt.Sprintf("-%d.csv", attempt))
		slices.Sort(want)
		if !slices.Equal(rows, want) {
			k.t.Errorf("the output %s has %d rows, want %d; it has %q", dir, len(rows), len(want), rows)
		}
	}
	if n := k.hidden(); n > 0 {
		k.t.Errorf("%d files stay behind that were never published", n)
	}
}

// rows are the sorted lines of the visible files in a directory, which all have names that end so.
func (k *counting) rows(dir, suffix string) (rows []string) {
	k.t.Helper()
	for _, path := range k.visible() {
		if filepath.Base(filepath.Dir(path)) != dir {
			continue
		}
		if !strings.HasSuffix(path, suffix) {
			k.t.Errorf("%s is visible; want names with %s", path, suffix)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			k.t.Fatal(err)
		}
		rows = append(rows, strings.Split(strings.TrimSpace(string(text)), "\n")[1:]...)
	}
	slices.Sort(rows)
	return rows
}

// visible are the files of the output, hidden counts those that are written and not published.
func (k *counting) visible() []string { return k.files("part-*") }
func (k *counting) hidden() int       { return len(k.files(".part-*")) }

func (k *counting) files(pattern string) []string {
	k.t.Helper()
	names, err := filepath.Glob(filepath.Join(k.output, "*", pattern))
	if err != nil {
		k.t.Fatal(err)
	}
	return names
}

// untouched requires that the subtasks are those from before: of the same attempt, in the same
// processes.
func untouched(t *testing.T, before, after client.Job) {
	t.Helper()
	if after.Attempt != before.Attempt {
		t.Errorf("%d attempts became %d", before.Attempt, after.Attempt)
	}
	for v, vertex := range before.Vertices {
		for i, was := range vertex.Subtasks {
			if is := after.Vertices[v].Subtasks[i]; is.PID != was.PID || is.TaskManager != was.TaskManager || is.Attempt != was.Attempt {
				t.Errorf("subtask %d of %s was %+v and is %+v", i, vertex.Name, was, is)
			}
		}
	}
}

// missing accepts a job that waits for n slots.
func missing(n int) func(client.Job) bool {
	return func(j client.Job) bool { return j.SlotsMissing == n }
}

// written waits until the job has written all of its output, whether or not anybody leads.
func (k *counting) written() {
	k.t.Helper()
	k.c.Until("the whole output is written", func() bool {
		lines := 0
		for _, path := range k.files(".part-*") {
			if text, err := os.ReadFile(path); err == nil {
				lines += max(strings.Count(string(text), "\n")-1, 0) // but for the header
			}
		}
		return lines == keys+keys*perKey
	})
}

// allEnded waits until the task processes of a job have ended.
func allEnded(t *testing.T, c *minicluster.Cluster, j client.Job) {
	t.Helper()
	for _, v := range j.Vertices {
		for _, s := range v.Subtasks {
			c.Until(fmt.Sprintf("process %d has ended", s.PID), func() bool { return ended(t, s.PID) })
		}
	}
}

// ended reports whether a process that the cluster started is no more.
func ended(t *testing.T, pid int) bool {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
