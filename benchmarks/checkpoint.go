package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

const (
	costRuns   = 3               // of each interval
	warmUp     = 3 * time.Second // until every key is there
	costWindow = 5 * time.Second
	measured   = 30 // checkpoints
	taskKills  = 15
	hostKills  = 5 // TaskManagers
	// smallInterval is that of the small job's checkpoints: short, so that there are many.
	smallInterval = 200 * time.Millisecond
	// suiteLimit bounds the suite, whatever hangs.
	suiteLimit = 3 * time.Minute
)

func checkpoints(ctx context.Context, _ options, r *report) error {
	ctx, cancel := context.WithTimeoutCause(ctx, suiteLimit, fmt.Errorf("%v were not enough", suiteLimit))
	defer cancel()
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	return errors.Join(checkpointCost(ctx, r, b), smallState(ctx, r, b))
}

// Cost: throughput with checkpoints beside throughput without.

// cost is what one window saw.
type cost struct {
	rate   float64 // million records per CPU-second of the task processes
	taken  int     // checkpoints
	millis float64 // of the newest
	size   int64
}

// checkpointCost runs the job in turn on two clusters, as the interval is a cluster's.
func checkpointCost(ctx context.Context, r *report, b binaries) error {
	r.table(fmt.Sprintf("Cost of checkpoints: keyed count of 1 M keys, parallelism 2, one task process; million records per CPU-second of task processes over %v after %v, medians of %d runs, in turn", costWindow, warmUp, costRuns),
		"checkpoint.interval 1 s", "1 h", "1 s / 1 h, median (lowest – highest)", "checkpoints in the windows", "bytes of one", "its milliseconds", "to reach")
	config := func(interval string) localcluster.Config {
		return localcluster.Config{JobManagers: 1, TaskManagers: 1, Slots: 2, Settings: map[string]string{"checkpoint.interval": interval, "cluster.id": "every-" + interval}}
	}
	return cluster(ctx, b, config("1s"), func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		return cluster(ctx, b, config("1h"), func(ctx context.Context, cl2 *localcluster.Cluster, cli2 *client.Client) error {
			with, without := site{cl, cli, b.count}, site{cl2, cli2, b.count}
			return compareCost(ctx, r, with, without)
		})
	})
}

func compareCost(ctx context.Context, r *report, with, without site) error {
	var rates, bases, ratios, millis []float64
	var last cost
	taken := 0
	for range costRuns {
		base, err := without.cost(ctx)
		if err != nil {
			return err
		}
		if base.taken > 0 {
			return fmt.Errorf("%d checkpoints where there should be none", base.taken)
		}
		if last, err = with.cost(ctx); err != nil {
			return err
		}
		rates, bases, ratios = append(rates, last.rate), append(bases, base.rate), append(ratios, last.rate/base.rate)
		millis = append(millis, last.millis)
		taken += last.taken
	}
	r.row(fmt.Sprintf("%.1f", quantile(rates, 0.5)), fmt.Sprintf("%.1f", quantile(bases, 0.5)), fmt.Sprintf("%.2f (%.2f – %.2f)", quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1)),
		fmt.Sprint(taken), fmt.Sprint(last.size), fmt.Sprintf("%.1f", quantile(millis, 0.5)), "≥ 0.90")
	return nil
}

// site is a cluster with a client and the binary of the job that runs there.
type site struct {
	cl  *localcluster.Cluster
	cli *client.Client
	job string
}

// submit starts the job and waits until it runs.
func (s site) submit(ctx context.Context, args ...string) (client.ID, error) {
	artifact, err := s.cli.Upload(ctx, s.job)
	if err != nil {
		return "", err
	}
	id := client.NewID()
	if _, err := s.cli.Submit(ctx, client.Spec{ID: id, Name: "count", Artifact: artifact, Parallelism: 2, Args: args}); err != nil {
		return "", err
	}
	_, err = s.cl.Running(ctx, s.cli, id)
	return id, err
}

func (s site) cancel(ctx context.Context, id client.ID) error {
	if _, err := s.cli.Cancel(ctx, id); err != nil {
		return err
	}
	_, err := s.cli.Wait(ctx, id, 20*time.Millisecond, nil)
	return err
}

// cost runs the job for a while, and measures a window of it.
func (s site) cost(ctx context.Context) (cost, error) {
	id, err := s.submit(ctx)
	if err != nil {
		return cost{}, err
	}
	if err := sleep(ctx, warmUp); err != nil {
		return cost{}, err
	}
	before, err := s.read(ctx, id)
	if err != nil {
		return cost{}, err
	}
	if err := sleep(ctx, costWindow-500*time.Millisecond); err != nil { // the next change comes within a second
		return cost{}, err
	}
	after, err := s.read(ctx, id)
	if err != nil {
		return cost{}, err
	}
	if after.job.Attempts != 1 {
		return cost{}, fmt.Errorf("the job was restarted: attempt %d", after.job.Attempts)
	}
	c := cost{rate: float64(after.records-before.records) / (after.cpu - before.cpu).Seconds() / 1e6, taken: int(newest(after.job).ID - newest(before.job).ID)}
	c.millis, c.size = newest(after.job).Millis, newest(after.job).Size
	return c, s.cancel(ctx, id)
}

// reading is records and CPU time at one moment.
type reading struct {
	job     client.Job
	records uint64
	cpu     time.Duration
}

// read waits until the counters have changed, which arrive once a second, and reads the CPU time
// at that moment: otherwise the two would be up to a second apart.
func (s site) read(ctx context.Context, id client.ID) (reading, error) {
	var first *uint64
	var now reading
	err := poll(ctx, func() (bool, error) {
		j, err := s.cli.Job(ctx, id)
		if err != nil {
			return false, err
		}
		if j.State.Terminal() || len(j.Vertices) == 0 {
			return false, fmt.Errorf("the job is %s: %s", j.State, j.Failure)
		}
		now.job, now.records = j, j.Vertices[len(j.Vertices)-1].RecordsIn
		if first == nil {
			first = new(uint64)
			*first = now.records
		}
		return now.records != *first, nil
	})
	if err != nil {
		return now, err
	}
	for _, pid := range pids(now.job) {
		st, err := statOf(pid)
		if err != nil {
			return now, err
		}
		now.cpu += st.cpu
	}
	return now, nil
}

// pids lists a job's task processes, each once.
func pids(j client.Job) []int {
	var all []int
	for _, s := range localcluster.Subtasks(j) {
		if s.PID != 0 && !slices.Contains(all, s.PID) {
			all = append(all, s.PID)
		}
	}
	return all
}

// newest is the newest completed checkpoint, or one of zeroes.
func newest(j client.Job) client.Checkpoint {
	if len(j.Checkpoints.Completed) == 0 {
		return client.Checkpoint{}
	}
	return j.Checkpoints.Completed[0]
}

// Small state: how long a checkpoint takes, and how long a restart.

func smallState(ctx context.Context, r *report, b binaries) error {
	r.table(fmt.Sprintf("Checkpoints and restarts of a small job: 1,000 keys, 10,000 records/s, parallelism 2, no high availability, two TaskManagers of 2 slots, checkpoint.interval %v; milliseconds", smallInterval),
		"what", "n", "p50", "worst", "to reach")
	c := localcluster.Config{JobManagers: 1, TaskManagers: 2, Slots: 2, Settings: map[string]string{"checkpoint.interval": smallInterval.String(), "cluster.id": "small"}}
	return cluster(ctx, b, c, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		s := site{cl, cli, b.count}
		id, err := s.submit(ctx, "--keys", "1000", "--rate", "10000")
		if err != nil {
			return err
		}
		for _, f := range s.figures(id) {
			took, err := f.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			r.row(f.name, fmt.Sprint(len(took)), ms(quantile(took, 0.5)), ms(quantile(took, 1)), f.goal)
		}
		return s.cancel(ctx, id)
	})
}

// figure is one row of the small job's.
type figure struct {
	name, goal string
	measure    func(ctx context.Context) ([]time.Duration, error)
}

func (s site) figures(id client.ID) []figure {
	restarts := func(n int, kill func(context.Context, client.Job) error) func(context.Context) ([]time.Duration, error) {
		return func(ctx context.Context) ([]time.Duration, error) { return s.restarts(ctx, id, n, kill) }
	}
	return []figure{
		{"a checkpoint, from its reservation to its completion", "p50 ≤ 20",
			func(ctx context.Context) ([]time.Duration, error) { return s.durations(ctx, id) }},
		{"SIGKILL of a task process → every subtask RUNNING again, from a checkpoint", "p50 ≤ 300", restarts(taskKills, s.killTask)},
		{"SIGKILL of a TaskManager → the same, on another's free slots", "≤ 500", restarts(hostKills, s.killTaskManager)},
	}
}

// durations waits for checkpoints, and says how long each took.
func (s site) durations(ctx context.Context, id client.ID) ([]time.Duration, error) {
	took := map[job.CheckpointID]time.Duration{}
	err := poll(ctx, func() (bool, error) {
		j, err := s.cli.Job(ctx, id)
		for _, c := range j.Checkpoints.Completed {
			took[c.ID] = time.Duration(c.Millis * float64(time.Millisecond))
		}
		return len(took) >= measured, err
	})
	all := make([]time.Duration, 0, len(took))
	for _, d := range took {
		all = append(all, d)
	}
	return all, err
}

// restarts kills n times, and says how long the job took each time to run again.
func (s site) restarts(ctx context.Context, id client.ID, n int, kill func(context.Context, client.Job) error) ([]time.Duration, error) {
	var all []time.Duration
	for range n {
		was, err := s.checkpointed(ctx, id)
		if err != nil {
			return all, err
		}
		// A kill may meet a checkpoint at any moment of its course.
		if err := sleep(ctx, rand.N(smallInterval)); err != nil {
			return all, err
		}
		begun := time.Now()
		if err := kill(ctx, was); err != nil {
			return all, err
		}
		took, err := s.restarted(ctx, id, was, begun)
		if err != nil {
			return all, err
		}
		all = append(all, took)
		if err := s.whole(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

// checkpointed waits until the present attempt has completed a checkpoint.
func (s site) checkpointed(ctx context.Context, id client.ID) (j client.Job, err error) {
	err = poll(ctx, func() (bool, error) {
		if j, err = s.cli.Job(ctx, id); err == nil && j.State.Terminal() {
			err = fmt.Errorf("the job is %s: %s", j.State, j.Failure)
		}
		return int(newest(j).Attempt) == j.Attempts, err
	})
	return j, err
}

// restarted waits until every subtask runs in the next attempt, which must continue from a
// checkpoint: one that begins anew has less to do.
func (s site) restarted(ctx context.Context, id client.ID, was client.Job, begun time.Time) (took time.Duration, err error) {
	var j client.Job
	err = poll(ctx, func() (bool, error) {
		if j, err = s.cli.Job(ctx, id); err == nil && j.State.Terminal() {
			err = fmt.Errorf("the job is %s: %s", j.State, j.Failure)
		}
		took = time.Since(begun)
		return j.Attempts > was.Attempts && runs(j), err
	})
	if err == nil && j.Checkpoints.Restored < newest(was).ID {
		err = fmt.Errorf("attempt %d continued from checkpoint %d, and %d was complete", j.Attempts, j.Checkpoints.Restored, newest(was).ID)
	}
	return took, err
}

// runs tells whether every subtask runs in the present attempt.
func runs(j client.Job) bool {
	all := localcluster.Subtasks(j)
	return len(all) > 0 && !slices.ContainsFunc(all, func(s client.Subtask) bool {
		return int(s.Attempt) != j.Attempts || s.State != job.Running
	})
}

// killTask kills one of the job's task processes, which must be a child of this cluster.
func (s site) killTask(_ context.Context, j client.Job) error {
	all := pids(j)
	pid := all[rand.IntN(len(all))]
	if _, err := s.parent(pid); err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// parent is the TaskManager that started a task process.
func (s site) parent(pid int) (*localcluster.Process, error) {
	st, err := statOf(pid)
	if err != nil {
		return nil, err
	}
	for _, p := range s.cl.TaskManagers {
		if p.PID() == st.parent {
			return p, nil
		}
	}
	return nil, fmt.Errorf("process %d is no child of this cluster's TaskManagers", pid)
}

// killTaskManager kills one that runs a part of the job.
func (s site) killTaskManager(_ context.Context, j client.Job) error {
	p, err := s.parent(pids(j)[0])
	if err != nil {
		return err
	}
	p.Kill() // waits for its end, so that whole sees that it is gone
	return nil
}

// whole starts the TaskManagers that were killed, and waits until the cluster is what it was.
func (s site) whole(ctx context.Context) error {
	for _, p := range s.cl.TaskManagers {
		if !p.Running() {
			if err := p.Start(); err != nil {
				return err
			}
		}
	}
	return s.cl.Ready(ctx, s.cli)
}

// poll looks each 5 ms until look is content, or fails.
func poll(ctx context.Context, look func() (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
