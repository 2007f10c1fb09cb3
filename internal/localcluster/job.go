package localcluster

import (
	"context"
	"fmt"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// Running waits until every subtask of a job runs, or has finished, and fails when the job ends
// in another way.
func (cl *Cluster) Running(ctx context.Context, c *client.Client, id client.ID) (client.Job, error) {
	var j client.Job
	err := cl.Until(ctx, func() (err error) {
		if j, err = c.Job(ctx, id); err != nil || j.State.Terminal() {
			return err
		}
		for _, s := range Subtasks(j) {
			if s.State != job.Running && s.State != job.Finished {
				return fmt.Errorf("subtask %d is %s", s.Index, s.State)
			}
		}
		if len(j.Vertices) == 0 || j.State != job.Running {
			return fmt.Errorf("the job is %s", j.State)
		}
		return nil
	})
	if err == nil && j.State.Terminal() && j.State != job.Finished {
		err = fmt.Errorf("the job is %s: %s", j.State, j.Failure)
	}
	return j, err
}

// Subtasks lists a job's subtasks, vertex by vertex.
func Subtasks(j client.Job) []client.Subtask {
	var all []client.Subtask
	for _, v := range j.Vertices {
		all = append(all, v.Subtasks...)
	}
	return all
}

// Touched lists the subtasks that are not what they were: another attempt, process or
// TaskManager.
func Touched(before, after client.Job) []client.Subtask {
	then, now := Subtasks(before), Subtasks(after)
	var touched []client.Subtask
	for i, was := range then {
		if i >= len(now) {
			touched = append(touched, was)
			continue
		}
		if is := now[i]; is.PID != was.PID || is.Attempt != was.Attempt || is.TaskManager != was.TaskManager || is.PID == 0 {
			touched = append(touched, is)
		}
	}
	return touched
}
