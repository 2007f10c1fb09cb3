package stream

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/task"
)

// Run builds a job and runs all of it in this process. It returns nil once the job has finished
// and its output is visible. An error says what was wrong with the job or its arguments, or which operator
// failed and why; if ctx ended it is the cause. Then no output is visible, and none is left behind.
//
// args are the job's arguments, as on a command line: "--input", "DIR", "-p", "4".
func Run(ctx context.Context, name string, args []string, build func(env *Env)) error {
	r, err := newLocalRun(ctx, definition{name, build}, args)
	if err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	return r.wait()
}

// localRun is a job that runs in this process.
type localRun struct {
	spec      job.Spec
	plan      *operator.Plan
	metrics   *Metrics
	execution *task.Execution
	cancel    context.CancelCauseFunc

	mu      sync.Mutex
	outputs []job.Output // of finished subtasks
}

func newLocalRun(ctx context.Context, d definition, args []string) (*localRun, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	r := &localRun{spec: job.Spec{ID: job.NewID(), Name: d.name, Args: args, Dir: dir}}
	r.plan, r.metrics, err = d.local(ctx, r.spec)
	return r, err
}

func (r *localRun) start(ctx context.Context) (err error) {
	ctx, r.cancel = context.WithCancelCause(ctx)
	slots := make([]int, r.plan.Graph.Slots())
	for i := range slots {
		slots[i] = i
	}
	r.execution, err = task.Start(ctx, r.plan, task.Assignment{
		Job: r.spec.ID, Attempt: 1, Slots: slots, Dir: r.spec.Dir, Report: r.report,
	})
	if err == nil {
		r.metrics.run.Store(r.execution)
	}
	return err
}

// report keeps what a finished subtask wrote; a failed one ends the others.
func (r *localRun) report(s rpc.SubtaskReport) {
	switch s.State {
	case job.Finished:
		r.mu.Lock()
		r.outputs = append(r.outputs, s.Outputs...)
		r.mu.Unlock()
	case job.Failed:
		r.cancel(errors.New("another subtask failed"))
	}
}

// wait waits for the subtasks and makes their output visible, or removes it.
func (r *localRun) wait() error {
	defer r.cancel(nil)
	if err := r.execution.Wait(); err != nil {
		return errors.Join(err, output.Discard(r.outputs))
	}
	return output.Publish(r.outputs)
}
