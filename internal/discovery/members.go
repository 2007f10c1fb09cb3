package discovery

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
)

// How long Members waits before it opens coordination again: doubled each time.
const (
	firstReopen = 50 * time.Millisecond
	longReopen  = 2 * time.Second
)

// Members follows who has joined coordination. A JobManager joins with an api.JobManager as
// JSON. When the session ends, another is opened, and
// until then nobody is thought to have gone: without coordination, who was there probably still is.
// A nil log means slog.Default.
func Members(open func(ctx context.Context) (coordination.Store, error), log *slog.Logger) Discovery {
	return func(ctx context.Context) <-chan []JobManager {
		c := newChanges()
		go func() {
			defer close(c.out)
			m := members{open: open, log: logger(log), changes: c}
			m.run(ctx)
		}()
		return c.out
	}
}

type members struct {
	*changes
	open func(ctx context.Context) (coordination.Store, error)
	log  *slog.Logger
}

func (m *members) run(ctx context.Context) {
	wait, said := firstReopen, ""
	for ctx.Err() == nil {
		store, err := m.open(ctx)
		if err == nil {
			said = ""
			if m.follow(ctx, store) {
				wait = firstReopen
			}
		} else if err.Error() != said && ctx.Err() == nil {
			said = err.Error() // once per reason
			m.log.Warn("cannot ask coordination for the JobManagers; it is tried again", "error", err)
		}
		if sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, longReopen)
	}
}

// follow passes on the members until the session or ctx ends, and reports whether there
// were any. An empty list is not passed on: a new session after an outage of all of them sees
// nobody for a moment.
func (m *members) follow(ctx context.Context, store coordination.Store) (useful bool) {
	defer store.Close()
	for list := range store.WatchMembers(ctx) {
		if jms := m.decode(list); len(jms) > 0 {
			useful = true
			m.send(jms)
		}
	}
	return useful
}

func (m *members) decode(list []coordination.Member) (jms []JobManager) {
	for _, member := range list {
		var jm api.JobManager
		if err := json.Unmarshal(member.Data, &jm); err != nil || jm.Address == "" {
			m.log.Warn("a member of the cluster does not say where it is", "id", member.ID, "error", err)
			continue
		}
		jms = append(jms, JobManager{ID: member.ID, RPC: jm.Address, REST: jm.REST})
	}
	return jms
}
