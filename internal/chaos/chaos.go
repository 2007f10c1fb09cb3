package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// Config of a round: one job on one cluster.
type Config struct {
	Cluster   *localcluster.Cluster // with room for the job's slots twice, and short checkpoint intervals
	Binary    string                // of the job, whose main calls Main
	Dir       string                // for outputs; the caller removes it
	Seed      int
	Records   int
	Rate      float64 // records per second: with Records how long the job lasts undisturbed
	Unbounded bool
	Faults    int // to be done; the job may end before
	Say       func(format string, args ...any)
}

// Result is what a round came to.
type Result struct {
	Faults                            map[string]int // done, by name
	Lines, Lost, Duplicated, Restarts int
	Checkpoints                       int // the newest id
}

// Wrong reports whether the output was not that of the undisturbed run.
func (r Result) Wrong() bool { return r.Lost+r.Duplicated > 0 || r.Lines == 0 }

// Run does one round.
func Run(ctx context.Context, c Config) (Result, error) {
	want, err := c.undisturbed(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("the undisturbed run: %w", err)
	}
	r := &round{Config: c, client: c.Cluster.Client(), draw: rand.New(rand.NewPCG(uint64(c.Seed), 2)), output: filepath.Join(c.Dir, fmt.Sprintf("disturbed-%d", c.Seed))}
	r.result.Faults = map[string]int{}
	r.result.Lines = len(want)
	defer r.client.Close()
	if err := r.run(ctx, len(want)); err != nil {
		return r.result, err
	}
	got, err := lines(r.output)
	r.result.Lost, r.result.Duplicated = compare(want, got)
	return r.result, err
}

func (c *Config) args(output string, rate float64) []string {
	args := []string{"--seed", strconv.Itoa(c.Seed), "--records", strconv.Itoa(c.Records), "--output", output, "--rate", fmt.Sprint(rate)}
	if c.Unbounded {
		args = append(args, "--unbounded")
	}
	return args
}

// undisturbed returns the lines that the job puts out, sorted. Of an unbounded one they are known.
func (c *Config) undisturbed(ctx context.Context) ([]string, error) {
	if c.Unbounded {
		var want []string
		for i := range c.Records {
			want = append(want, fmt.Sprintf(`{"Key":%d,"Value":%d}`, i%97, i/97+1))
		}
		slices.Sort(want)
		return want, nil
	}
	dir := filepath.Join(c.Dir, fmt.Sprintf("undisturbed-%d", c.Seed))
	if err := stream.Run(ctx, "chaos", c.args(dir, 0), Build); err != nil {
		return nil, err
	}
	return lines(dir)
}

// round is one round under way.
type round struct {
	Config
	client *client.Client
	draw   *rand.Rand
	output string
	id     client.ID
	result Result
}

func (r *round) run(ctx context.Context, want int) error {
	artifact, err := r.client.Upload(ctx, r.Binary)
	if err != nil {
		return err
	}
	r.id = client.NewID()
	if _, err := r.client.Submit(ctx, client.Spec{ID: r.id, Name: "chaos", Artifact: artifact, Args: r.args(r.output, r.Rate)}); err != nil {
		return err
	}
	if _, err := r.Cluster.Running(ctx, r.client, r.id); err != nil {
		return err
	}
	for range r.Faults {
		if ended, err := r.pause(ctx); ended || err != nil {
			break
		}
		if err := r.fault(ctx); err != nil {
			return err
		}
	}
	if r.Unbounded {
		return r.cancelWhenOut(ctx, want)
	}
	j, err := r.client.Wait(ctx, r.id, 20*time.Millisecond, nil)
	r.note(j)
	if err == nil && j.State != "FINISHED" {
		err = fmt.Errorf("the job is %s: %s", j.State, j.Failure)
	}
	return err
}

func (r *round) note(j client.Job) {
	r.result.Restarts = j.Restarts
	if len(j.Checkpoints.Completed) > 0 {
		r.result.Checkpoints = int(j.Checkpoints.Completed[0].ID)
	}
}

// pause lets the job go on for a while, and tells whether it has ended.
func (r *round) pause(ctx context.Context) (bool, error) {
	timer := time.NewTimer(100*time.Millisecond + time.Duration(r.draw.IntN(700))*time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	j, err := r.client.Job(ctx, r.id)
	if err == nil {
		r.note(j)
	}
	return err == nil && j.State.Terminal(), err
}

// cancelWhenOut waits until as many lines are visible as there are to come, or too many, and ends the
// job.
func (r *round) cancelWhenOut(ctx context.Context, want int) error {
	err := r.Cluster.Until(ctx, func() error {
		j, err := r.client.Job(ctx, r.id)
		if err != nil {
			return err
		}
		r.note(j)
		got, err := lines(r.output)
		if err == nil && len(got) < want && !j.State.Terminal() {
			err = fmt.Errorf("%d of %d lines are visible; the job is %s", len(got), want, j.State)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err = r.client.Cancel(ctx, r.id); err != nil {
		return err
	}
	_, err = r.client.Wait(ctx, r.id, 20*time.Millisecond, nil)
	return err
}

// lines are those of the visible files in a directory, sorted.
func lines(dir string) ([]string, error) {
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	var all []string
	for _, p := range parts {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		s := bufio.NewScanner(f)
		for s.Scan() {
			all = append(all, s.Text())
		}
		f.Close()
		if err := s.Err(); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, err
}

// compare counts the lines of want that got lacks, and those of got that want lacks; a line that
// stands twice counts twice. Both are sorted.
func compare(want, got []string) (lost, duplicated int) {
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			lost, want = lost+1, want[1:]
		case len(want) == 0 || got[0] < want[0]:
			duplicated, got = duplicated+1, got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return lost, duplicated
}

// faults by name, with how often each comes.
var faults = []struct {
	name   string
	weight int
	do     func(r *round, ctx context.Context) error
}{
	{"task process killed", 6, (*round).killTask},
	{"task process frozen", 2, (*round).freezeTask},
	{"TaskManager killed", 2, (*round).killTaskManager},
	{"leader killed", 3, (*round).killLeader},
	{"all JobManagers killed", 1, (*round).killJobManagers},
}

// fault does one, drawn by weight.
func (r *round) fault(ctx context.Context) error {
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	n := r.draw.IntN(total)
	for _, f := range faults {
		if n -= f.weight; n < 0 {
			r.result.Faults[f.name]++
			r.Say("seed %d: %s", r.Seed, f.name)
			if err := f.do(r, ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			return nil
		}
	}
	return nil
}

// task picks a task process of the job; 0: there is none now.
func (r *round) task(ctx context.Context) (int, error) {
	j, err := r.client.Job(ctx, r.id)
	if err != nil {
		return 0, err
	}
	var pids []int
	for _, s := range localcluster.Subtasks(j) {
		if s.PID > 1 && !slices.Contains(pids, s.PID) {
			pids = append(pids, s.PID)
		}
	}
	if len(pids) == 0 {
		return 0, nil
	}
	return pids[r.draw.IntN(len(pids))], nil
}

func (r *round) killTask(ctx context.Context) error { return r.signalTask(ctx, syscall.SIGKILL) }

func (r *round) signalTask(ctx context.Context, s syscall.Signal) error {
	pid, err := r.task(ctx)
	if err != nil || pid == 0 {
		return err
	}
	return r.signal(pid, s)
}

// signal sends a signal to a task process that still runs the job's binary.
func (r *round) signal(pid int, s syscall.Signal) error {
	if !localcluster.IsTaskProcess(pid) {
		return nil
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func (r *round) freezeTask(ctx context.Context) error {
	pid, err := r.task(ctx)
	if err != nil || pid == 0 {
		return err
	}
	if err := r.signal(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	_, _ = r.pause(ctx)
	return r.signal(pid, syscall.SIGCONT)
}

func (r *round) killTaskManager(context.Context) error {
	return restart(r.Cluster.TaskManagers[r.draw.IntN(len(r.Cluster.TaskManagers))])
}

func (r *round) killLeader(ctx context.Context) error {
	leader, _, err := r.Cluster.Leader(ctx, r.client)
	if err != nil {
		return err
	}
	return restart(leader)
}

func (r *round) killJobManagers(context.Context) error {
	for _, p := range r.Cluster.JobManagers {
		p.Kill()
	}
	for _, p := range r.Cluster.JobManagers {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

func restart(p *localcluster.Process) error {
	p.Kill()
	return p.Start()
}
