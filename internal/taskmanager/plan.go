package taskmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// maxPlan bounds the plan that a job may write, in bytes: it travels in one message.
const maxPlan = rpc.MaxFrame - 64<<10

// errOwn marks a failure of the TaskManager's own, after which another one may succeed.
var errOwn = errors.New("planning failed on this TaskManager")

// plan runs the job binary in plan mode and returns what it wrote, or why there is no plan.
func (n *node) plan(ctx context.Context, spec job.Spec) rpc.Planned {
	g, err := n.programs.Plan(ctx, spec)
	switch {
	case err == nil:
		return rpc.Planned{Job: spec.ID, Graph: g}
	case ctx.Err() != nil:
		return rpc.Planned{Job: spec.ID, Error: "the TaskManager that planned the job is shutting down", Retry: true}
	default:
		return rpc.Planned{Job: spec.ID, Error: err.Error(), Retry: errors.Is(err, errOwn)}
	}
}

// Plan implements Programs.
func (n *node) Plan(ctx context.Context, spec job.Spec) (*job.Graph, error) {
	path, err := n.artifacts.get(ctx, spec.Artifact)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOwn, err)
	}
	if err := checkPlatform(path); err != nil {
		return nil, err
	}
	out, err := n.runPlanner(ctx, path, spec)
	if err != nil {
		return nil, err
	}
	g := new(job.Graph)
	if err := json.Unmarshal(out, g); err != nil {
		return nil, fmt.Errorf("the binary is no Perennial job of this version: what it wrote as its plan cannot be read: %w", err)
	}
	return g, g.Validate()
}

// refusedJob is how a planning process ends that has said on its standard error what is wrong
// with the job.
const refusedJob = "exited with status 1"

// runPlanner returns what the binary wrote to its fd 3 before it exited with status 0.
func (n *node) runPlanner(ctx context.Context, path string, spec job.Spec) ([]byte, error) {
	dir, err := os.MkdirTemp(n.work.plans(), "")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOwn, err)
	}
	defer os.RemoveAll(dir)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOwn, err)
	}
	defer r.Close()
	cmd, forget, err := n.start(func() (*exec.Cmd, error) { return planCommand(path, dir, spec, w) })
	w.Close()
	if err != nil {
		return nil, explainStart(path, err)
	}
	defer forget()
	c := &child{cmd: cmd, pid: cmd.Process.Pid, stderr: filepath.Join(dir, "stderr")}
	out, status, inTime := c.takePlan(ctx, r, n.cfg.Timeouts.Plan)
	switch {
	case !inTime:
		return nil, fmt.Errorf("the job binary wrote no plan within %v%s", n.cfg.Timeouts.Plan, lastWords(c.stderr))
	case len(out) > maxPlan:
		return nil, fmt.Errorf("the plan that the job binary wrote has more than %d bytes", maxPlan)
	case status == refusedJob:
		return nil, fmt.Errorf("planning the job failed%s", spoken(c.stderr))
	case status != ExitedWell:
		return nil, fmt.Errorf("planning the job failed: it %s%s", status, lastWords(c.stderr))
	case len(out) == 0:
		return nil, fmt.Errorf("the binary is no Perennial job: it %s and wrote no plan; the main function of a job calls stream.Main", status)
	}
	return out, nil
}

func planCommand(path, dir string, spec job.Spec, fd3 *os.File) (*exec.Cmd, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := command(path, dir, "plan", spec)
	cmd.Env = append(cmd.Env, "PERENNIAL_SPEC="+string(b))
	cmd.ExtraFiles = []*os.File{fd3}
	return cmd, openOutputs(cmd, dir)
}

// takePlan reads what the process writes, no more than a little over maxPlan, until it exits.
// It kills one that writes more or takes longer than limit, or when ctx ends.
func (c *child) takePlan(ctx context.Context, r *os.File, limit time.Duration) (out []byte, status string, inTime bool) {
	read, exited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		out, _ = io.ReadAll(io.LimitReader(r, maxPlan+1)) // what is missing shows when it is decoded
	}()
	go func() { defer close(exited); c.AwaitExit() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	inTime = true
	written, called := (<-chan struct{})(read), ctx.Done()
	for running := true; running; {
		select {
		case <-written:
			written = nil
			if len(out) > maxPlan {
				c.Kill()
			}
		case <-timer.C:
			inTime = false
			c.Kill()
		case <-called:
			called = nil
			c.Kill()
		case <-exited:
			running = false
		}
	}
	status = c.reap()
	_ = r.SetReadDeadline(time.Now().Add(time.Second)) // a grandchild may hold the other end
	<-read
	return out, status, inTime
}
