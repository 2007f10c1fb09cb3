package jobmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/stored"
)

// failoversKey holds the newest takeovers, the latest last, each written by the leader of its epoch once it served.
const failoversKey = "failovers"

// failoversKept is how many of them there are.
const failoversKept = 64

// Failovers are the newest changes of leader, the latest first, of those that came to serve. The latest is waited for until its jobs
// are adopted.
func (jm *JobManager) Failovers(ctx context.Context) ([]api.Takeover, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.settled: // this change of leader is to be told as well
	case <-l.ctx.Done():
		return nil, l.ended()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	list, _, err := l.failovers(ctx)
	switch {
	case errors.Is(err, stored.ErrNewer):
		return nil, &api.Error{Code: api.Conflict, Message: err.Error()}
	case err != nil:
		return nil, unavailable(err)
	}
	if t := l.takeover.Load(); len(list) == 0 || list[len(list)-1].Epoch < t.Epoch {
		list = append(list, *t) // it is about to be written
	}
	slices.Reverse(list)
	return list, nil
}

// failovers reads those that are committed. A list that is damaged counts as empty: it is not worth more than the log line.
func (l *leader) failovers(ctx context.Context) ([]api.Takeover, coordination.Version, error) {
	e, err := l.term.Get(ctx, failoversKey)
	if errors.Is(err, coordination.ErrNotFound) {
		return nil, coordination.NoVersion, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the changes of leader: %w", err)
	}
	var list []api.Takeover
	switch err := stored.Decode(e.Value, &list); {
	case errors.Is(err, stored.ErrNewer):
		return nil, 0, fmt.Errorf("read %s: %w", failoversKey, err)
	case err != nil:
		l.log.Error("the list of changes of leader cannot be read; it is begun anew", "error", err)
		return nil, e.Version, nil
	}
	return list, e.Version, nil
}

// remember commits how this leader took over. Only people depend on it: what cannot be written is lost.
func (l *leader) remember(ctx context.Context, t api.Takeover) {
	list, version, err := l.failovers(ctx)
	if err == nil {
		list = append(list, t)
		list = list[max(0, len(list)-failoversKept):]
		var value []byte
		if value, err = json.Marshal(list); err == nil {
			_, err = l.term.Commit(ctx, put(failoversKey, value, version))
		}
	}
	if err != nil && ctx.Err() == nil {
		l.log.Warn("this change of leader is missing in the list of them", "error", err)
	}
}
