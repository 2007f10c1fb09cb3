package jobmanager

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
)

// copyOut makes a savepoint of a completed checkpoint, which is retained meanwhile. It is tried once: the
// job runs on without a savepoint, and whoever asked for it is told why there is none.
func (o *owner) copyOut(ctx context.Context, c execution.Copy, in execution.Intent) {
	location, size, err := o.putSavepoint(ctx, c, in)
	if ctx.Err() != nil {
		return // the next leader copies
	}
	answer := execution.Copied{Request: c.Request, Location: location, Size: size}
	if err != nil {
		answer.Error = fmt.Sprintf("checkpoint %d cannot be copied: %v", c.Pointer.Checkpoint, err)
	}
	o.post(answer)
}

func (o *owner) putSavepoint(ctx context.Context, c execution.Copy, in execution.Intent) (location string, size int64, err error) {
	m, err := o.cfg.Storage.Manifest(ctx, c.Pointer.Manifest)
	if err != nil {
		return "", 0, err
	}
	graph, err := o.cfg.Storage.Graph(ctx, m.GraphHash)
	if err != nil {
		return "", 0, err
	}
	dir := cmp.Or(c.Directory, o.cfg.Storage.SavepointDir())
	return o.cfg.Storage.PutSavepoint(ctx, dir, savepointName(cmp.Or(in.Name, in.Spec.Name), o.id, c.Pointer.Checkpoint), m, graph)
}

// savepointName is that of a savepoint's directory, the same whoever leads.
func savepointName(name string, id job.ID, checkpoint job.CheckpointID) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, name)
	return fmt.Sprintf("%s-%s-%d", strings.TrimLeft(plain, ".-"), id.Short(), checkpoint)
}

// openSavepoint reads what a new job is to continue from. What cannot be read at once fails the job, which
// has not begun.
func (o *owner) openSavepoint(ctx context.Context, location string) {
	answer := readSavepoint(ctx, o.cfg.Storage.Beside(location))
	if ctx.Err() == nil {
		o.post(answer)
	}
}

func readSavepoint(ctx context.Context, location string) execution.SavepointOpened {
	s, err := storage.OpenSavepoint(ctx, location)
	if err != nil {
		return execution.SavepointOpened{Error: err.Error()}
	}
	return execution.SavepointOpened{
		Source: s.Source(location),
		Pointer: job.Pointer{
			Checkpoint: s.Checkpoint, Attempt: s.Attempt, Savepoint: location, Size: s.Size(),
			Triggered: s.Triggered, Completed: s.Completed,
		},
	}
}
