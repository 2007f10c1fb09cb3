package zookeeper

import (
	"context"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// Observe subscribes to the one goroutine that follows the leader.
func (s *store) Observe(ctx context.Context) <-chan coordination.Leadership {
	s.leadership.start.Do(func() {
		if !s.session.Go(s.followLeader) {
			s.leadership.close()
		}
	})
	return s.leadership.subscribe(ctx)
}

// WatchMembers subscribes to the one goroutine that follows the members.
func (s *store) WatchMembers(ctx context.Context) <-chan []coordination.Member {
	s.membership.start.Do(func() {
		if !s.session.Go(s.followMembers) {
			s.membership.close()
		}
	})
	return s.membership.subscribe(ctx)
}

// followLeader publishes the leadership at each change until the session ends. It begins
// with what the quorum confirms, so that nothing older is ever told.
func (s *store) followLeader() {
	defer s.leadership.close()
	begun := false
	_ = s.session.Follow(s.session.Context(), func(w *zksession.Watcher) error { // Done tells of the session's end
		if !begun {
			if _, err := s.confirmed(s.session.Context()); err != nil {
				return err
			}
			begun = true
		}
		l, err := s.watchLeadership(w)
		if err == nil {
			s.leadership.publish(l)
		}
		return err
	})
}

// watchLeadership reads the leadership, and watches it. The leader's node is read second, so it is of
// this epoch or a later one, whose watch has fired then.
func (s *store) watchLeadership(w *zksession.Watcher) (coordination.Leadership, error) {
	n, err := w.Get(s.epoch)
	r, err := s.decode(n, err)
	if err != nil {
		return coordination.Leadership{}, err
	}
	alive, err := w.Exists(s.leader)
	return r.leadership(alive), err
}

// followMembers publishes the members at each change until the session ends.
func (s *store) followMembers() {
	defer s.membership.close()
	begun := false
	_ = s.session.Follow(s.session.Context(), func(w *zksession.Watcher) error {
		if !begun {
			if err := s.session.Sync(s.session.Context(), s.members); err != nil {
				return err
			}
			begun = true
		}
		m, err := s.watchMembers(w)
		if err == nil {
			s.membership.publish(m)
		}
		return err
	})
}
