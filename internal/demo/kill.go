package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// killUntilFinished kills the leader at random moments, each time once all three JobManagers are
// members, and now and then a task process in between, until the job ends. It returns the job at its
// end.
func (r *run) killUntilFinished(ctx context.Context, id client.ID) (client.Job, error) {
	for {
		j, ended, err := r.watch(ctx, id, pause())
		if err != nil || ended {
			return j, err
		}
		took, err := r.kill(ctx, len(r.takeovers)+1)
		if err != nil {
			return j, err
		}
		r.takeovers = append(r.takeovers, took)
		if len(r.takeovers)%everyKills > 0 {
			continue
		}
		if err := r.killTask(ctx, id); err != nil {
			return j, fmt.Errorf("kill a task process: %w", err)
		}
	}
}

// pause is the time to the next kill, drawn anew each time.
func pause() time.Duration {
	return 200*time.Millisecond + time.Duration(rand.Int64N(int64(800*time.Millisecond)))
}

// watch shows the job for a while, and tells whether it has ended.
func (r *run) watch(ctx context.Context, id client.ID, d time.Duration) (client.Job, bool, error) {
	end := time.After(d)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		j, err := r.client.Job(ctx, id)
		if err != nil {
			return j, false, err
		}
		r.screen.job(j)
		r.note(j)
		if j.State == job.Failed || j.State == job.Canceled {
			return j, true, fmt.Errorf("the job is %s: %s", j.State, j.Failure)
		}
		if j.State.Terminal() {
			return j, true, nil
		}
		select {
		case <-ctx.Done():
			return j, false, context.Cause(ctx)
		case <-end:
			return j, false, nil
		case <-tick.C:
		}
	}
}

// note keeps the job as it was last seen with all of its task processes. Once it has ended, a
// leader that did not see it run knows of none.
func (r *run) note(j client.Job) {
	unknown := func(s client.Subtask) bool { return s.PID == 0 }
	if all := localcluster.Subtasks(j); len(all) > 0 && !slices.ContainsFunc(all, unknown) {
		r.seen = j
	}
}

// kill kills the leader, waits for the next one, starts the killed one again as a standby and
// waits until all are members.
func (r *run) kill(ctx context.Context, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("nobody took over within 30 s"))
	defer cancel()
	victim, was, err := r.cluster.Leader(ctx, r.client)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	victim.Kill()
	var now client.JobManager
	err = r.cluster.Until(ctx, func() error {
		_, next, err := r.cluster.Leader(ctx, r.client)
		if err == nil && next.Epoch <= was.Epoch {
			err = fmt.Errorf("epoch %d still", next.Epoch)
		}
		now = next
		return err
	})
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	r.screen.killed(n, was, now, took)
	if err := victim.Start(); err != nil {
		return 0, err
	}
	return took, r.cluster.Members(ctx, r.client)
}

func pids(j client.Job) []int {
	var all []int
	for _, s := range localcluster.Subtasks(j) {
		if !slices.Contains(all, s.PID) {
			all = append(all, s.PID)
		}
	}
	return all
}
