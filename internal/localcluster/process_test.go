package localcluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
	"github.com/perennial-io/perennial/internal/testetcd"
	"github.com/perennial-io/perennial/internal/tests3"
	"github.com/perennial-io/perennial/stream"
)

// binaries are built once: perennial, and the job.
var binaries struct{ perennial, wordcount string }

func TestMain(m *testing.M) {
	if os.Getenv("PERENNIAL_ROLE") != "" {
		stream.Main("test", func(env *stream.Env) { jobs[env.ArgOr("job", "lopsided")](env) }) // this process is a job's
	}
	tests3.Setenv()
	testetcd.Serve() // in a process that is an etcd server it does not return
	dir, err := os.MkdirTemp("", "perennial-test-")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/perennial-io/perennial/internal/localcluster.init.func1.1")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines left behind:", err)
		code = 1
	}
	os.Exit(code)
}

// jobs are those of this binary.
var jobs = map[string]func(*stream.Env){"lopsided": lopsided, "doubtful": doubtful, "tally": tallied, "apart": apart, "hungry": hungry, "deaf": deaf}

func build(dir string) error {
	binaries.perennial = filepath.Join(dir, "perennial")
	binaries.wordcount = filepath.Join(dir, "wordcount")
	for out, pkg := range map[string]string{binaries.perennial: "cmd/perennial", binaries.wordcount: "examples/wordcount"} {
		if text, err := exec.Command("go", "build", "-o", out, "github.com/perennial-io/perennial/"+pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
	}
	return nil
}

// coordinations are what a cluster is tried on.
var coordinations = []struct {
	name        string
	embedded    bool
	jobManagers int
	settings    func(t *testing.T) map[string]string
	faults      []string // that apply to it
	// back is how many JobManagers must be started again after all were killed: one, or a
	// majority of the quorum that they are.
	back int
}{
	{"zookeeper", false, 3, func(t *testing.T) map[string]string {
		return map[string]string{"zookeeper.quorum": testensemble.Start(t, 3).Connect()}
	}, []string{killed, stopped, steppedDown, allKilled}, 1},
	{"embedded", true, 3, func(*testing.T) map[string]string { return nil }, []string{killed, stopped, steppedDown, allKilled}, 2},
	{"etcd", false, 2, func(t *testing.T) map[string]string {
		return map[string]string{"high-availability": "etcd", "etcd.endpoints": strings.Join(testetcd.Start(t, 3).Endpoints(), ",")}
	}, []string{killed, steppedDown}, 1},
	{"none", false, 1, func(*testing.T) map[string]string { return nil }, []string{allKilled}, 1},
}

// The faults by name.
const (
	killed      = "leader is killed"
	stopped     = "leader is stopped politely"
	steppedDown = "leader steps down"
	allKilled   = "all are killed and some started again"
)

// faults are what is done to the JobManagers under a running job, each followed by another leader.
var faults = map[string]func(t *testing.T, f *fixture, back int){
	killed: func(t *testing.T, f *fixture, _ int) { f.leader(t).Kill() },
	stopped: func(t *testing.T, f *fixture, _ int) {
		leader := f.leader(t)
		if err := leader.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-leader.Done()
	},
	steppedDown: func(t *testing.T, f *fixture, _ int) {
		_, leader, err := f.cluster.Leader(f.ctx, f.client)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.client.StepDown(f.ctx, leader.Epoch); err != nil {
			t.Fatal(err)
		}
	},
	allKilled: func(t *testing.T, f *fixture, back int) {
		leader := f.leader(t)
		for _, p := range f.cluster.JobManagers {
			if p != leader { // which comes last, or one of them would take over in between
				p.Kill()
			}
		}
		leader.Kill()
		for _, p := range f.cluster.JobManagers[:back] {
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
		}
	},
}

func TestJobsOutliveJobManagers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	for _, coordination := range coordinations {
		t.Run(coordination.name, func(t *testing.T) {
			t.Parallel()
			settings := coordination.settings(t)
			for _, fault := range coordination.faults {
				t.Run(fault, func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, localcluster.Config{JobManagers: coordination.jobManagers, Embedded: coordination.embedded, Settings: settings})
					f.outlive(t, func() { faults[fault](t, f, coordination.back) })
				})
			}
		})
	}
}

// TestLostTaskManager: its job starts over on the slots that are left, and the output is that of
// an undisturbed run.
func TestLostTaskManager(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1})
	j := f.submit(t, "long", 20_000, 10_000)
	f.running(t, j.id)
	f.cluster.TaskManagers[0].Kill()
	end := f.wait(t, j.id)
	if end.State != job.Finished || end.Attempt != 2 || end.Restarts != 1 {
		t.Errorf("the job is %s after %d attempts and %d restarts: %s", end.State, end.Attempt, end.Restarts, end.Failure)
	}
	if got := countLines(t, j.output); got != j.words {
		t.Errorf("%d words came out, want %d", got, j.words)
	}
}

// TestLostTaskProcess: a process that a signal ends restarts its job from the newest checkpoint, and
// the output is that of an undisturbed run.
func TestLostTaskProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{"checkpoint.interval": "100ms"}})
	j := f.submit(t, "long", 20_000, 10_000)
	f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	pid := f.running(t, j.id).Vertices[0].Subtasks[0].PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end := f.wait(t, j.id)
	if end.State != job.Finished || end.Restarts != 1 || end.Checkpoints.Restored < 2 {
		t.Errorf("the job is %s after %d restarts, continued from checkpoint %d: %s", end.State, end.Restarts, end.Checkpoints.Restored, end.Failure)
	}
	if got := countLines(t, j.output); got != j.words {
		t.Errorf("%d words came out, want %d", got, j.words)
	}
	for _, p := range f.cluster.TaskManagers {
		if !p.Running() {
			t.Errorf("%s died as well", p.Name)
		}
	}
}

// checkpointed waits until a checkpoint of at least this id is complete.
func (f *fixture) checkpointed(t *testing.T, id client.ID, least job.CheckpointID) {
	t.Helper()
	err := f.cluster.Until(f.ctx, func() error {
		j, err := f.client.Job(f.ctx, id)
		if err == nil && (len(j.Checkpoints.Completed) == 0 || j.Checkpoints.Completed[0].ID < least) {
			err = fmt.Errorf("checkpoint %d is not complete: %+v", least, j.Checkpoints)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a cluster with a client of it.
type fixture struct {
	cluster *localcluster.Cluster
	client  *client.Client
	dir     string
	ctx     context.Context
}

// newFixture starts two TaskManagers and what c says of JobManagers.
func newFixture(t *testing.T, c localcluster.Config) *fixture {
	t.Helper()
	c.TaskManagers, c.Slots = 2, 4
	return newFixtureOf(t, c)
}

// newFixtureOf has as many TaskManagers as c says.
func newFixtureOf(t *testing.T, c localcluster.Config) *fixture {
	t.Helper()
	dir := t.TempDir()
	own := map[string]string{"cluster.id": filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)}
	for k, v := range c.Settings {
		own[k] = v
	}
	c.Binary, c.Dir, c.Settings = binaries.perennial, dir, own
	cluster, err := localcluster.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 90*time.Second, errors.New("the test's 90 s are over"))
	f := &fixture{cluster: cluster, client: cluster.Client(), dir: dir, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(cluster.Logs())
		}
		cancel()
		f.client.Close()
		cluster.Stop()
	})
	if err := cluster.Ready(ctx, f.client); err != nil {
		t.Fatal("the cluster did not come up: ", err)
	}
	return f
}

func (f *fixture) leader(t *testing.T) *localcluster.Process {
	t.Helper()
	p, _, err := f.cluster.Leader(f.ctx, f.client)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// outlive runs a job, does the fault while it runs and while a client submits, lists and cancels,
// and requires that no task was touched, that each request had one effect, and a right output.
func (f *fixture) outlive(t *testing.T, fault func()) {
	long := f.submit(t, "long", 40_000, 10_000)
	doomed := f.submit(t, "doomed", 1_000_000, 1_000)
	before := f.running(t, long.id)
	f.running(t, doomed.id)
	_, was, err := f.cluster.Leader(f.ctx, f.client)
	if err != nil {
		t.Fatal(err)
	}

	late := f.spec(t, "late", 1_000, 0)
	requests := f.requests(late, doomed.id)
	fault()
	for range cap(requests) {
		if err := <-requests; err != nil {
			t.Error("a request at the moment of the fault:", err)
		}
	}

	_, now, err := f.cluster.Leader(f.ctx, f.client)
	if err != nil {
		t.Fatal(err)
	}
	if now.Epoch != was.Epoch+1 {
		t.Errorf("epoch %d became %d, want one more", was.Epoch, now.Epoch)
	}
	if touched := localcluster.Touched(before, f.running(t, long.id)); len(touched) > 0 {
		t.Errorf("subtasks are not what they were: %+v", touched)
	}
	for _, r := range []submitted{long, late} {
		if j := f.wait(t, r.id); j.State != job.Finished || j.Restarts != 0 {
			t.Errorf("job %s is %s after %d restarts: %s", r.name, j.State, j.Restarts, j.Failure)
		}
		if got := countLines(t, r.output); got != r.words {
			t.Errorf("job %s put out %d words, want %d", r.name, got, r.words)
		}
	}
	if j := f.wait(t, doomed.id); j.State != job.Canceled {
		t.Errorf("the cancelled job is %s", j.State)
	}
	if parts, _ := filepath.Glob(filepath.Join(doomed.output, "part-*")); len(parts) > 0 {
		t.Errorf("a cancelled job's output became visible: %v", parts)
	}
	jobs, err := f.client.Jobs(f.ctx)
	if err != nil || len(jobs) != 3 {
		t.Errorf("%d jobs are listed (%v), want the three submitted", len(jobs), err)
	}
}

// requests sends a submission, a list and a cancellation at once; the channel gets each's error.
func (f *fixture) requests(late submitted, doomed client.ID) chan error {
	results := make(chan error, 3)
	go func() { _, err := f.client.Submit(f.ctx, late.spec); results <- err }()
	go func() { _, err := f.client.Jobs(f.ctx); results <- err }()
	go func() { _, err := f.client.Cancel(f.ctx, doomed); results <- err }()
	return results
}

// submitted is a word count of a made file, every line of it another word.
type submitted struct {
	name   string
	id     client.ID
	spec   client.Spec
	output string
	words  int
}

func (f *fixture) spec(t *testing.T, name string, lines, rate int) submitted {
	t.Helper()
	input := filepath.Join(f.dir, name+".txt")
	var text strings.Builder
	for i := range lines {
		fmt.Fprintln(&text, word(i))
	}
	if err := os.WriteFile(input, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	artifact, err := f.client.Upload(f.ctx, binaries.wordcount)
	if err != nil {
		t.Fatal(err)
	}
	s := submitted{name: name, id: client.NewID(), output: filepath.Join(f.dir, name+".out"), words: lines}
	s.spec = client.Spec{ID: s.id, Name: name, Artifact: artifact, Parallelism: 2, Args: []string{"--input", input, "--output", s.output}}
	if rate > 0 {
		s.spec.Args = append(s.spec.Args, "--rate", fmt.Sprint(rate))
	}
	return s
}

func (f *fixture) submit(t *testing.T, name string, lines, rate int) submitted {
	t.Helper()
	s := f.spec(t, name, lines, rate)
	if _, err := f.client.Submit(f.ctx, s.spec); err != nil {
		t.Fatal(err)
	}
	return s
}

// word is the i-th word: letters only, all different.
func word(i int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprint(i))
}

// running waits until every subtask of a job runs.
func (f *fixture) running(t *testing.T, id client.ID) client.Job {
	t.Helper()
	j, err := f.cluster.Running(f.ctx, f.client, id)
	if err != nil || j.State.Terminal() {
		t.Fatalf("job %s is %s, want it running: %v", id.Short(), j.State, err)
	}
	return j
}

func (f *fixture) wait(t *testing.T, id client.ID) client.Job {
	t.Helper()
	j, err := f.client.Wait(f.ctx, id, 20*time.Millisecond, nil)
	if err != nil {
		t.Fatalf("wait for job %s, which is %s: %v", id.Short(), j.State, err)
	}
	return j
}

// countLines counts the rows of a word count, each of which must say 1, and be there once.
func countLines(t *testing.T, dir string) int {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "part-*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range parts {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
			w, n, _ := strings.Cut(row, ",")
			if n != "1" || seen[w] {
				t.Errorf("row %q: want each word once", row)
			}
			seen[w] = true
		}
	}
	return len(seen)
}
