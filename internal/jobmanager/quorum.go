package jobmanager

import (
	"context"
	"errors"

	"github.com/perennial-io/perennial/internal/api"
)

// Quorum is the quorum that the JobManagers form themselves. What it refuses is an *api.Error; other errors
// leave the outcome unknown.
type Quorum interface {
	Status(ctx context.Context) (api.Quorum, error)
	Add(ctx context.Context, member string) (api.QuorumAddition, error)
	Remove(ctx context.Context, member string) error
}

// quorum is that of the leader, for as long as a client waits.
func quorum[T any](ctx context.Context, jm *JobManager, do func(context.Context, Quorum) (T, error)) (answer T, err error) {
	l, err := jm.current(ctx)
	if err != nil {
		return answer, err
	}
	if l.cfg.Quorum == nil {
		return answer, &api.Error{Code: api.Conflict, Message: "the JobManagers of this cluster are no quorum: it is not coordinated by high-availability: embedded"}
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	answer, err = do(ctx, l.cfg.Quorum)
	if _, refused := errors.AsType[*api.Error](err); err != nil && !refused {
		err = unavailable(err)
	}
	return answer, err
}

// QuorumStatus tells who the members of the embedded quorum are, and how they are.
func (jm *JobManager) QuorumStatus(ctx context.Context) (api.Quorum, error) {
	return quorum(ctx, jm, func(ctx context.Context, q Quorum) (api.Quorum, error) { return q.Status(ctx) })
}

// AddToQuorum lets a new member in, and tells what it must be started with. Asked again for one
// that has not been started yet, it changes nothing.
func (jm *JobManager) AddToQuorum(ctx context.Context, member string) (api.QuorumAddition, error) {
	return quorum(ctx, jm, func(ctx context.Context, q Quorum) (api.QuorumAddition, error) { return q.Add(ctx, member) })
}

// RemoveFromQuorum takes a member out of the quorum.
func (jm *JobManager) RemoveFromQuorum(ctx context.Context, member string) error {
	_, err := quorum(ctx, jm, func(ctx context.Context, q Quorum) (struct{}, error) { return struct{}{}, q.Remove(ctx, member) })
	return err
}
