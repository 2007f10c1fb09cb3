package zookeeper

import (
	"context"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
)

// retryPause is how long a follower waits after an error that is not the connection's.
const retryPause = time.Second

// watch is the library's channel for one change of one node; nil: nothing is watched.
type watch <-chan zk.Event

// Observe subscribes to the one goroutine that follows the leader.
func (s *store) Observe(ctx context.Context) <-chan coordination.Leadership {
	s.leadership.start.Do(func() {
		if !s.spawn(s.followLeader) {
			s.leadership.close()
		}
	})
	return s.leadership.subscribe(ctx)
}

// WatchMembers subscribes to the one goroutine that follows the members.
func (s *store) WatchMembers(ctx context.Context) <-chan []coordination.Member {
	s.membership.start.Do(func() {
		if !s.spawn(s.followMembers) {
			s.membership.close()
		}
	})
	return s.membership.subscribe(ctx)
}

// followLeader publishes the leadership at each change until the session ends. It begins
// with what the quorum confirms, so that nothing older is ever told.
func (s *store) followLeader() {
	defer s.leadership.close()
	var epoch, leader watch
	_, err := s.confirmed(s.life)
	for s.life.Err() == nil {
		lostConnection := s.disconnected()
		var l coordination.Leadership
		if err == nil {
			l, err = s.watchLeadership(&epoch, &leader)
		}
		if err == nil {
			s.leadership.publish(l)
		}
		err = s.await(err, lostConnection, &epoch, &leader)
	}
}

// followMembers publishes the members at each change until the session ends.
func (s *store) followMembers() {
	defer s.membership.close()
	var members, unused watch
	err := s.sync(s.life, s.members)
	for s.life.Err() == nil {
		lostConnection := s.disconnected()
		var m []coordination.Member
		if err == nil {
			m, err = s.watchMembers(&members)
		}
		if err == nil {
			s.membership.publish(m)
		}
		err = s.await(err, lostConnection, &members, &unused)
	}
}

// await returns when what was read is to be read again: a watch has fired, which it then
// clears; the connection was lost and is back, since watches that the library sets again
// may fail; or a while after an error. It returns an error only with the session's end.
func (s *store) await(err error, lostConnection <-chan struct{}, a, b *watch) error {
	var pause <-chan time.Time
	if err != nil && s.life.Err() == nil {
		s.log.Warn("zookeeper: cannot follow changes; trying again", "error", err)
		timer := time.NewTimer(retryPause)
		defer timer.Stop()
		pause = timer.C
	}
	select {
	case <-*a:
		*a = nil
	case <-*b:
		*b = nil
	case <-lostConnection:
	case <-pause:
	case <-s.done:
	}
	return s.ready(s.life)
}

// watchLeadership reads the leadership, and watches what is not watched yet. The leader's
// node is read second, so it is of this epoch or a later one, whose watch has fired then.
func (s *store) watchLeadership(epoch, leader *watch) (coordination.Leadership, error) {
	n, err := s.getAndWatch(s.epoch, epoch)
	r, err := s.decode(n, err)
	if err != nil {
		return coordination.Leadership{}, err
	}
	alive, err := s.existsAndWatch(s.leader, leader)
	return r.leadership(alive), err
}

// watched is an answer of the library together with the watch that was set for it.
type watched[T any] struct {
	value T
	watch watch
}

func (s *store) getAndWatch(path string, w *watch) (node, error) {
	if *w != nil {
		return s.get(s.life, path)
	}
	got, err := read(s.life, s.session, func(c *zk.Conn) (watched[node], error) {
		data, stat, events, err := c.GetW(path)
		if err != nil {
			return watched[node]{}, err
		}
		return watched[node]{node{data, *stat}, events}, nil
	})
	*w = got.watch
	return got.value, err
}

func (s *store) existsAndWatch(path string, w *watch) (bool, error) {
	if *w != nil {
		return s.exists(s.life, path)
	}
	got, err := read(s.life, s.session, func(c *zk.Conn) (watched[bool], error) {
		there, _, events, err := c.ExistsW(path)
		return watched[bool]{there, events}, err
	})
	*w = got.watch
	return got.value, err
}

func (s *store) childrenAndWatch(path string, w *watch) ([]string, error) {
	if *w != nil {
		return s.children(s.life, path)
	}
	got, err := read(s.life, s.session, func(c *zk.Conn) (watched[[]string], error) {
		names, _, events, err := c.ChildrenW(path)
		return watched[[]string]{names, events}, err
	})
	*w = got.watch
	return got.value, err
}
