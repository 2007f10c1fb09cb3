package zksession

import (
	"context"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// retryPause is how long Follow waits after an error of look.
const retryPause = time.Second

// Follow calls look, and calls it again whenever what look has read by its Watcher may have changed, until
// ctx or the session ends; it returns why. After a lost connection look is called as soon as there is
// one again, since watches may have been lost with it, and after an error of its own, which is logged, after a second.
//
// What is read is what the session's server knows. Where it matters that the first look is no older than
// the call of Follow, call Sync before it, or have the quorum confirm what was read.
func (s *Session) Follow(ctx context.Context, look func(w *Watcher) error) error {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{s: s, ctx: ctx, fired: make(chan struct{}, 1), set: make(map[string]bool)}
	defer w.running.Wait()
	defer cancel()
	for {
		lostConnection := s.disconnected()
		err := look(w)
		if ended := s.await(ctx, w, lostConnection, err); ended != nil {
			return ended
		}
	}
}

// await returns nil when Follow is to look again.
func (s *Session) await(ctx context.Context, w *Watcher, lostConnection <-chan struct{}, err error) error {
	var pause <-chan time.Time
	if err != nil && ctx.Err() == nil && s.Err() == nil {
		s.log.Warn("zookeeper: cannot follow changes; trying again", "error", err)
		timer := time.NewTimer(retryPause)
		defer timer.Stop()
		pause = timer.C
	}
	select {
	case <-w.fired:
	case <-lostConnection:
	case <-pause:
	case <-ctx.Done():
	case <-s.Done():
	}
	return s.ready(ctx)
}

// Watcher reads for a Follow, and watches what it has read. It may be used while look runs, by its goroutine.
type Watcher struct {
	s       *Session
	ctx     context.Context
	fired   chan struct{} // holds a token after a watch has fired
	running sync.WaitGroup

	mu  sync.Mutex
	set map[string]bool // what is watched: the kind of watch, and the path
}

// Get is Session.Get, and watches the node's data and its end.
func (w *Watcher) Get(path string) (Node, error) {
	return watching(w, "data "+path, func() (Node, error) { return w.s.Get(w.ctx, path) }, func(c *zk.Conn) (Node, <-chan zk.Event, error) {
		data, stat, events, err := c.GetW(path)
		if err != nil {
			return Node{}, nil, err
		}
		return Node{data, *stat}, events, nil
	})
}

// Exists is Session.Exists, and watches for the node's beginning, its end, and its data.
func (w *Watcher) Exists(path string) (bool, error) {
	return watching(w, "exists "+path, func() (bool, error) { return w.s.Exists(w.ctx, path) }, func(c *zk.Conn) (bool, <-chan zk.Event, error) {
		there, _, events, err := c.ExistsW(path)
		return there, events, err
	})
}

// Children is Session.Children, and watches the list, not what is in the nodes.
func (w *Watcher) Children(path string) ([]string, error) {
	return watching(w, "children "+path, func() ([]string, error) { return w.s.Children(w.ctx, path) }, func(c *zk.Conn) ([]string, <-chan zk.Event, error) {
		names, _, events, err := c.ChildrenW(path)
		return names, events, err
	})
}

// watched is an answer of the library together with the watch that was set for it.
type watched[T any] struct {
	value  T
	events <-chan zk.Event
}

// watching reads what is watched already, or reads it and watches.
func watching[T any](w *Watcher, what string, again func() (T, error), watch func(*zk.Conn) (T, <-chan zk.Event, error)) (T, error) {
	w.mu.Lock()
	set := w.set[what]
	w.mu.Unlock()
	if set {
		return again()
	}
	got, err := read(w.ctx, w.s, func(c *zk.Conn) (watched[T], error) {
		value, events, err := watch(c)
		return watched[T]{value, events}, err
	})
	if err != nil {
		return got.value, err
	}
	w.mu.Lock()
	w.set[what] = true
	w.mu.Unlock()
	w.running.Go(func() { w.wait(what, got.events) })
	return got.value, nil
}

// wait is the goroutine of one watch.
func (w *Watcher) wait(what string, events <-chan zk.Event) {
	select {
	case <-events:
	case <-w.ctx.Done():
		return
	case <-w.s.Done():
		return
	}
	w.mu.Lock()
	delete(w.set, what)
	w.mu.Unlock()
	select {
	case w.fired <- struct{}{}:
	default: // Follow has yet to look, and will see this change as well
	}
}
