package taskmanager

import (
	"context"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Programs runs job binaries.
type Programs interface {
	// Plan returns what the job's binary plans, or an error for whoever submitted the job; one that is this host's own
	// has errOwn in it.
	Plan(ctx context.Context, spec job.Spec) (*job.Graph, error)
	// Start starts a task process, which does nothing before it is told rpc.Start. ctx bounds the start alone.
	Start(ctx context.Context, d rpc.Deploy) (Child, error)
}

// Child is a task process that was started.
type Child interface {
	PID() int
	Control() *rpc.Conn // by which it is spoken to
	AwaitExit()
	Kill()             // it and all that it started; until Reap
	Reap() string      // after AwaitExit: how it ended, beginning with one of the two below, or otherwise
	LastWords() string // the end of what it wrote to its standard error, introduced
	Close()            // after Reap
}

// How a child has ended: well, or not by itself.
const (
	ExitedWell     = "exited with status 0"
	KilledBySignal = "was killed by signal "
)

// Start implements Programs. A process that is recorded and has not been told Start does nothing yet: if the
// TaskManager dies right here, it ends by itself.
func (n *node) Start(ctx context.Context, d rpc.Deploy) (Child, error) {
	path, err := n.artifacts.get(ctx, d.Spec.Artifact)
	if err != nil {
		return nil, err
	}
	if err := checkPlatform(path); err != nil {
		return nil, err
	}
	key := attemptKey{partKey{d.Spec.ID, d.Region}, d.Attempt}
	dir, err := n.work.attemptDir(key)
	if err != nil {
		return nil, err
	}
	return n.startTask(path, dir, key, d)
}
