package diagnose

import (
	"context"
	"time"

	"github.com/perennial-io/perennial/internal/inspect"
)

// pendingEvery is how often a profile that is being taken is asked for.
const pendingEvery = 200 * time.Millisecond

// Fetch has a process take a profile, and returns it as a file that pprof reads. ask may fail only for good.
func Fetch(ctx context.Context, ask func(context.Context, inspect.Question) (inspect.Piece, error), p inspect.Profile) (file []byte, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	for {
		piece, err := ask(ctx, inspect.Question{Profile: &p, Offset: int64(len(file))})
		switch {
		case err != nil:
			return nil, err
		case piece.Pending && len(file) > 0: // the process has forgotten it: others asked for theirs
			file = nil
		case !piece.Pending:
			if file = append(file, piece.Data...); int64(len(file)) >= piece.Size {
				return file, nil
			}
			continue
		}
		select {
		case <-time.After(pendingEvery):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
