// Package demo shows what the project is for: a word count runs over real input on a cluster of
// real processes while the leading JobManager is killed again and again, and now and then a task
// process of the job, and the result is then compared with an independent single-threaded count.
//
// Run owns every process and file that it makes, and leaves none behind. Its goroutines (one that
// kills, one that draws) have ended when it returns.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// Config of a demo.
type Config struct {
	Binary string        // perennial
	Job    string        // directory or binary of examples/wordcount
	Input  string        // directory whose .go files are counted
	Kills  int           // at least so many leaders are killed
	Tasks  int           // and so many task processes
	Length time.Duration // about how long the job is to run
	Out    io.Writer
	Width  func() int // of the terminal that Out is, whose last line is drawn anew; nil: it is none
}

// Result is what the demo measured.
type Result struct {
	Words, Distinct  uint64
	Kills            int
	Takeovers        []time.Duration // kill → the next leader has adopted every task and answers
	TasksKilled      int             // that restarted the job
	Recoveries       []time.Duration // kill → all subtasks run again
	Restarts         int             // that no killed task process explains
	Lost, Duplicated uint64
}

// OK tells whether the demo showed what it is to show.
func (r Result) OK(kills, tasks int) bool {
	return r.Words > 0 && r.Kills >= kills && r.TasksKilled >= tasks && r.Restarts == 0 && r.Lost == 0 && r.Duplicated == 0
}

// Run runs the demo; an error says that it could not be carried through.
func Run(ctx context.Context, c Config) (Result, error) {
	dir, err := os.MkdirTemp("", "perennial-demo-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(dir)
	s := newScreen(c.Out, c.Width)
	defer s.clear()
	binary, err := client.Build(ctx, c.Job, dir, client.Cluster{OS: runtime.GOOS, Arch: runtime.GOARCH})
	if err != nil {
		return Result{}, err
	}

	s.say("counting the words of %s with one thread, to compare with later", c.Input)
	want, err := count(ctx, c.Input)
	if err != nil {
		return Result{}, fmt.Errorf("count %s: %w", c.Input, err)
	}
	s.say("%d lines, %d words, %d of them distinct", want.lines, want.total, len(want.words))

	cluster, err := localcluster.Start(localcluster.Config{
		Binary: c.Binary, Dir: dir, JobManagers: 3, TaskManagers: 2, Slots: 2, Embedded: true,
		Settings: map[string]string{string(config.CheckpointInterval): "500ms"},
	})
	if err != nil {
		return Result{}, err
	}
	defer cluster.Stop()
	s.say("started three JobManagers (an embedded quorum) and two TaskManagers")

	run := &run{Config: c, dir: dir, cluster: cluster, client: cluster.Client(), screen: s, want: want, binary: binary}
	defer run.client.Close()
	result, err := run.all(ctx)
	if err != nil && ctx.Err() == nil {
		return result, fmt.Errorf("%w\n%s", err, cluster.Logs())
	}
	return result, err
}

// run is one demo under way.
type run struct {
	Config
	dir     string
	cluster *localcluster.Cluster
	client  *client.Client
	screen  *screen
	want    counted
	binary  string     // of the job
	began   time.Time  // when it was first seen running
	base    client.Job // as it was when its present attempt was first seen running
	seen    client.Job // and last

	takeovers, recoveries []time.Duration
	tasksKilled, touched  int
}

func (r *run) all(ctx context.Context) (Result, error) {
	ready, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("the cluster was not ready within a minute"))
	defer cancel()
	if err := r.cluster.Ready(ready, r.client); err != nil {
		return Result{}, err
	}
	id, err := r.submit(ready)
	if err != nil {
		return Result{}, fmt.Errorf("submit: %w", err)
	}
	before, err := r.cluster.Running(ready, r.client, id)
	if err != nil {
		return Result{}, err
	}
	_, leader, err := r.cluster.Leader(ready, r.client)
	if err != nil {
		return Result{}, err
	}
	r.screen.leads(leader)
	r.began, r.base, r.seen = time.Now(), before, before
	r.screen.say("job %s runs: %d subtasks in task processes %v", id.Short(), len(localcluster.Subtasks(before)), pids(before))

	after, err := r.killUntilFinished(ctx, id)
	if err != nil {
		return Result{}, err
	}
	got, err := readCounts(filepath.Join(r.dir, "counts"))
	if err != nil {
		return Result{}, fmt.Errorf("read the job's output: %w", err)
	}
	result := compare(r.want, got)
	r.settle()
	result.Takeovers, result.Kills = r.takeovers, len(r.takeovers)
	result.Recoveries, result.TasksKilled = r.recoveries, r.tasksKilled
	result.Restarts = after.Restarts - r.tasksKilled + r.touched
	return result, nil
}

func (r *run) submit(ctx context.Context) (client.ID, error) {
	artifact, err := r.client.Upload(ctx, r.binary)
	if err != nil {
		return "", err
	}
	rate := max(r.want.lines/uint64(r.Length.Seconds()), 1)
	j, err := r.client.Submit(ctx, client.Spec{
		ID: client.NewID(), Name: "wordcount", Artifact: artifact, Parallelism: 4,
		Args: []string{"--input", r.Input, "--match", pattern, "--output", filepath.Join(r.dir, "counts"), "--rate", fmt.Sprint(rate)},
	})
	return j.ID, err
}
