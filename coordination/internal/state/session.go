package state

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/perennial-io/perennial/coordination"
)

// Link is what lies between a session and the state.
type Link interface {
	// Do runs request where the state is and returns nil when its reply has arrived. It
	// returns another error if ctx or the session ended first; the request may then have
	// run, run later, or never run.
	Do(ctx context.Context, ended <-chan struct{}, request func(context.Context)) error
	// Up is closed while news of the state comes through.
	Up() <-chan struct{}
}

// Direct is the Link of a session that lives where the state does.
type Direct struct{}

var up = func() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// Do runs request.
func (Direct) Do(ctx context.Context, _ <-chan struct{}, request func(context.Context)) error {
	request(ctx)
	return nil
}

// Up is always closed.
func (Direct) Up() <-chan struct{} { return up }

// Session is one process's view of a Machine. It is a coordination.Store.
type Session struct {
	m        *Machine
	link     Link
	done     chan struct{}
	watchers sync.WaitGroup
}

// Open returns a new session whose requests go over link.
func (m *Machine) Open(link Link) *Session {
	return &Session{m: m, link: link, done: make(chan struct{})}
}

// ended reports whether the session is over. For decisions, call it with the mutex of m held.
func (s *Session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// do sends a request over the link and returns its answer.
func do[T any](ctx context.Context, s *Session, request func(context.Context) (T, error)) (T, error) {
	var none, answer T
	var err error
	switch {
	case s.ended():
		return none, coordination.ErrSessionEnded
	case ctx.Err() != nil:
		return none, fmt.Errorf("coordination: not sent: %w", context.Cause(ctx))
	}
	// On an error of the link the request may still run, and answer and err are then its own.
	if lost := s.link.Do(ctx, s.done, func(ctx context.Context) { answer, err = request(ctx) }); lost != nil {
		return none, lost
	}
	if err != nil {
		return none, err
	}
	return answer, nil
}

// tell is do for a request whose answer is an error or nil.
func tell(ctx context.Context, s *Session, request func() error) error {
	_, err := do(ctx, s, func(context.Context) (struct{}, error) { return struct{}{}, request() })
	return err
}

// write is do for a request that may have taken effect without an answer.
func write[T any](ctx context.Context, s *Session, request func(context.Context) (T, error)) (T, error) {
	answer, err := do(ctx, s, request)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", coordination.ErrUnknown, err)
	}
	return answer, err
}

// Leader implements coordination.Store.
func (s *Session) Leader(ctx context.Context) (coordination.Leadership, error) {
	return do(ctx, s, func(context.Context) (coordination.Leadership, error) {
		l, _ := s.m.leader()
		return l, nil
	})
}

// Observe implements coordination.Store.
func (s *Session) Observe(ctx context.Context) <-chan coordination.Leadership {
	return watch(ctx, s, s.m.leader)
}

// Claim implements coordination.Store.
func (s *Session) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	if err := coordination.CheckSize("what the candidate publishes", len(c.Data)); err != nil {
		return nil, err
	}
	epoch, err := write(ctx, s, func(ctx context.Context) (coordination.Epoch, error) {
		return s.m.claim(ctx, s, over, c, nonce)
	})
	if err != nil {
		return nil, err
	}
	return &term{s: s, epoch: epoch}, nil
}

// Resume implements coordination.Store.
func (s *Session) Resume(ctx context.Context, _ coordination.Candidate, nonce string) (coordination.Term, error) {
	epoch, err := do(ctx, s, func(context.Context) (coordination.Epoch, error) { return s.m.resume(s, nonce) })
	if err != nil {
		return nil, err
	}
	return &term{s: s, epoch: epoch}, nil
}

// Join implements coordination.Store.
func (s *Session) Join(ctx context.Context, m coordination.Member) error {
	if err := coordination.CheckSize("what the member publishes", len(m.Data)); err != nil {
		return err
	}
	return tell(ctx, s, func() error { return s.m.join(s, m) })
}

// Members implements coordination.Store.
func (s *Session) Members(ctx context.Context) ([]coordination.Member, error) {
	return do(ctx, s, func(context.Context) ([]coordination.Member, error) {
		list, _ := s.m.memberList()
		return list, nil
	})
}

// WatchMembers implements coordination.Store.
func (s *Session) WatchMembers(ctx context.Context) <-chan []coordination.Member {
	return watch(ctx, s, s.m.memberList)
}

// Done implements coordination.Store.
func (s *Session) Done() <-chan struct{} { return s.done }

// Expire ends the session as the cluster does to one that it has not heard of for long.
func (s *Session) Expire() { s.m.endSession(s) }

// Close implements coordination.Store.
func (s *Session) Close() error {
	s.m.endSession(s)
	s.watchers.Wait()
	return nil
}

// watch sends what read returns, and again when it has changed, the newest only.
func watch[T any](ctx context.Context, s *Session, read func() (T, <-chan struct{})) <-chan T {
	ch := make(chan T)
	send := func() {
		defer close(ch)
		var sent *T
		for ctx.Err() == nil && wait(ctx, s, s.link.Up()) {
			value, changed := read()
			if sent != nil && reflect.DeepEqual(*sent, value) {
				if !wait(ctx, s, changed) {
					return
				}
				continue
			}
			select {
			case ch <- value:
				sent = &value
			case <-changed: // nobody has read it: it is news no more
			case <-ctx.Done():
				return
			case <-s.done:
				return
			}
		}
	}
	s.m.mu.Lock() // so that Close waits for this goroutine, or it is not started
	defer s.m.mu.Unlock()
	if s.ended() {
		close(ch)
	} else {
		s.watchers.Go(send)
	}
	return ch
}

// wait returns true when ch is closed, false when the session or ctx ends first.
func wait(ctx context.Context, s *Session, ch <-chan struct{}) bool {
	select {
	case <-s.done:
		return false
	case <-ctx.Done():
		return false
	case <-ch:
		return !s.ended()
	}
}
