package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// site is a cluster on which one job at a time runs, that of countjob.
type site struct {
	cl  *localcluster.Cluster
	cli *client.Client
	bin binaries
	// storage is the directory of the cluster's storage, if that is one.
	storage string
}

// onSite calls do with a cluster of one JobManager.
func onSite(ctx context.Context, b binaries, taskManagers int, settings map[string]string, do func(context.Context, site) error) error {
	storage, err := os.MkdirTemp(b.dir, "storage-")
	if err != nil {
		return err
	}
	with := map[string]string{"storage.dir": storage}
	maps.Copy(with, settings)
	c := localcluster.Config{JobManagers: 1, TaskManagers: taskManagers, Slots: 2, Settings: with}
	return cluster(ctx, b, c, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		return do(ctx, site{cl, cli, b, storage})
	})
}

// submit starts the job and waits until it runs.
func (s site) submit(ctx context.Context, args ...string) (client.ID, error) {
	artifact, err := s.cli.Upload(ctx, s.bin.count)
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

// job asks after a job that is not to end.
func (s site) job(ctx context.Context, id client.ID) (client.Job, error) {
	j, err := s.cli.Job(ctx, id)
	if err == nil && j.State.Terminal() {
		err = fmt.Errorf("the job is %s: %s", j.State, j.Failure)
	}
	return j, err
}

// checkpointed waits until the present attempt has completed a checkpoint.
func (s site) checkpointed(ctx context.Context, id client.ID) (j client.Job, err error) {
	err = poll(ctx, func() (bool, error) {
		j, err = s.job(ctx, id)
		return newest(j).Attempt > 0 && newest(j).Attempt == attemptOf(j), err
	})
	return j, err
}

// collect returns the next n checkpoints of a job.
func (s site) collect(ctx context.Context, id client.ID, n int) ([]client.Checkpoint, error) {
	j, err := s.job(ctx, id)
	if err != nil {
		return nil, err
	}
	last := newest(j).ID
	var all []client.Checkpoint
	err = pollEach(ctx, 50*time.Millisecond, func() (bool, error) {
		j, err := s.job(ctx, id)
		for _, c := range slices.Backward(j.Checkpoints.Completed) {
			if c.ID > last {
				all, last = append(all, c), c.ID
			}
		}
		return len(all) >= n, err
	})
	return all, err
}

// newest is the newest completed checkpoint, or one of zeroes.
func newest(j client.Job) client.Checkpoint {
	if len(j.Checkpoints.Completed) == 0 {
		return client.Checkpoint{}
	}
	return j.Checkpoints.Completed[0]
}

// arrivals is the file that the job's sink writes to.
func (s site) arrivals() string { return filepath.Join(s.bin.dir, "arrivals") }

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

// runs tells whether every subtask runs, or has nothing to do any more.
func runs(j client.Job) bool {
	return allAre(localcluster.Subtasks(j), job.Running, job.Finished)
}

// attemptOf is the attempt that subtasks are of, or 0 while there are none.
func attemptOf(j client.Job) job.Attempt {
	for _, s := range localcluster.Subtasks(j) {
		return s.Attempt
	}
	return 0
}

// allAre tells whether there are subtasks, of one attempt, and each is in one of some states.
func allAre(all []client.Subtask, states ...client.State) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(s client.Subtask) bool {
		return s.Attempt != all[0].Attempt || !slices.Contains(states, s.State)
	})
}

// bytesBelow adds up the sizes of the files in a directory, which may lose some meanwhile.
func bytesBelow(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// millis reads what the API tells in milliseconds.
func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// poll looks each 5 ms until look is content, or fails.
func poll(ctx context.Context, look func() (bool, error)) error {
	return pollEach(ctx, 5*time.Millisecond, look)
}

func pollEach(ctx context.Context, interval time.Duration, look func() (bool, error)) error {
	tick := time.NewTicker(interval)
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
