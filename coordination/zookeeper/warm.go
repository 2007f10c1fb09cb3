package zookeeper

import (
	"context"
	"time"
)

// keepWarm asks the ensemble's leader for a sign of life every now and then, by way of the session's server, until the session ends. A
// claim takes that path with threads awake, connections fast and code in caches: the first request after a second of silence takes
// about twice as long. It writes nothing: a sync is no transaction.
func (s *store) keepWarm() {
	tick := time.NewTicker(s.warm)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.session.Done():
			return
		}
		ctx, cancel := context.WithTimeout(s.session.Context(), 10*s.warm)
		_ = s.session.Sync(ctx, s.epoch) // who needs an answer asks for one
		cancel()
	}
}
