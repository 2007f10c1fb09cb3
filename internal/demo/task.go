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

const (
	everyKills  = 3               // after so many leaders a task process is killed
	lastStretch = 3 * time.Second // of the job, in which none is: it might end instead of restarting
)

// killTask kills a task process once there is a newer checkpoint than the present attempt began with,
// and waits until the job runs again. It does nothing when the job is about to end.
func (r *run) killTask(ctx context.Context, id client.ID) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("no checkpoint, or not running again, within 30 s"))
	defer cancel()
	if r.late() {
		return nil
	}
	before, err := r.checkpointed(ctx, id)
	if err != nil || before.State != job.Running || r.late() {
		return err
	}
	r.note(before)
	all := busy(before)
	pid := all[rand.IntN(len(all))]
	start := time.Now()
	if hit, err := r.cluster.KillTask(pid); err != nil || !hit {
		return err
	}
	after, err := r.restarted(ctx, id, before)
	if err == nil && after.Restarts > before.Restarts { // else it ended before it noticed
		r.recovered(pid, after, time.Since(start))
	}
	return err
}

// busy are the task processes in which a subtask runs: one with nothing left to do fails the job by
// its death.
func busy(j client.Job) []int {
	var all []int
	for _, s := range localcluster.Subtasks(j) {
		if s.State == job.Running && s.PID > 0 && !slices.Contains(all, s.PID) {
			all = append(all, s.PID)
		}
	}
	return all
}

func (r *run) late() bool { return time.Since(r.began) > r.Length-lastStretch }

// checkpointed waits until the job runs and the present attempt has completed a checkpoint, or until
// it is too late for a kill.
func (r *run) checkpointed(ctx context.Context, id client.ID) (client.Job, error) {
	var j client.Job
	err := r.cluster.Until(ctx, func() (err error) {
		if j, err = r.client.Job(ctx, id); err != nil || j.State.Terminal() || r.late() {
			return err
		}
		r.screen.job(j)
		if j.State != job.Running || len(busy(j)) == 0 {
			return fmt.Errorf("the job is %s, in task processes %v", j.State, busy(j))
		}
		if done := j.Checkpoints.Completed; len(done) == 0 || done[0].Attempt != j.Attempt {
			return fmt.Errorf("attempt %d has not completed a checkpoint", j.Attempt)
		}
		return nil
	})
	return j, err
}

// restarted waits until the job runs in a later attempt than before, or has ended.
func (r *run) restarted(ctx context.Context, id client.ID, before client.Job) (client.Job, error) {
	err := r.cluster.Until(ctx, func() error {
		j, err := r.client.Job(ctx, id)
		if err == nil && !j.State.Terminal() && j.Attempt <= before.Attempt {
			err = fmt.Errorf("attempt %d still", j.Attempt)
		}
		return err
	})
	if err != nil {
		return client.Job{}, err
	}
	after, err := r.cluster.Running(ctx, r.client, id)
	newest := before.Checkpoints.Completed[0].ID
	if err == nil && after.Restarts > before.Restarts && after.Checkpoints.Restored < newest {
		err = fmt.Errorf("attempt %d continued from checkpoint %d, although %d was complete", after.Attempt, after.Checkpoints.Restored, newest)
	}
	return after, err
}

// recovered counts a task process whose death restarted the job. Its tasks are other ones from here
// on; how they were touched until here is counted first.
func (r *run) recovered(pid int, after client.Job, took time.Duration) {
	r.tasksKilled++
	r.settle()
	if after.State.Terminal() {
		return // it was not seen running: neither a time nor anything to compare with
	}
	r.recoveries = append(r.recoveries, took)
	r.base, r.seen = after, after
	r.screen.restarted(r.tasksKilled, pid, after, took)
}

// settle counts the subtasks that are not what they were when the present attempt began: no leader's
// death may touch one.
func (r *run) settle() {
	r.touched += len(localcluster.Touched(r.base, r.seen))
	r.base, r.seen = client.Job{}, client.Job{}
}
