package zksession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// maxCalls bounds the calls that the library has not answered yet, those included whose
// caller has given up. Further ones wait for a place.
const maxCalls = 256

// A server that leaves a call unanswered for this part of the session timeout is taken for
// frozen, and left for the next one; but never so soon that a pause of its collector counts.
const (
	stallFraction = 5
	shortestStall = 250 * time.Millisecond
)

// result is what a call of the library returned.
type result[T any] struct {
	value T
	err   error
}

// call runs one call of the library, whose calls take no context, in a goroutine, and stops
// waiting for it when ctx or the session ends. The goroutine ends with the library's answer,
// which comes at the latest when the session ends.
func call[T any](ctx context.Context, s *Session, f func(*zk.Conn) (T, error)) (T, error) {
	var none T
	if err := s.ready(ctx); err != nil {
		return none, err
	}
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("zookeeper: %w", context.Cause(ctx))
	case <-s.Done():
		return none, s.Err()
	}
	answer := make(chan result[T], 1)
	started := s.Go(func() {
		defer func() { <-s.places }()
		g := s.guard()
		defer g.stop()
		v, err := f(s.conn)
		answer <- result[T]{v, err}
	})
	if !started {
		<-s.places
		return none, s.Err()
	}
	select {
	case r := <-answer:
		return r.value, s.judge(r.err)
	case <-ctx.Done():
		return none, fmt.Errorf("zookeeper: no answer: %w", context.Cause(ctx))
	case <-s.Done():
		return none, s.Err()
	}
}

// guard has a server left that leaves a call unanswered for a stall, and then the next one, if the call went out
// again: what is given to the library while a connection is being lost goes out over the one that follows.
type guard struct {
	s *Session

	mu      sync.Mutex
	timer   *time.Timer
	conn    *tap // that had the session when timer was set, nil if none had
	stopped bool
}

func (s *Session) guard() *guard {
	g := &guard{s: s, conn: s.wire.serving()}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(s.stall(), g.look)
	return g
}

func (s *Session) stall() time.Duration { return max(s.wire.timeout()/stallFraction, shortestStall) }

func (g *guard) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	conn := g.s.wire.serving()
	if conn != nil && conn == g.conn {
		g.s.log.Debug("zookeeper: no answer from the server; trying another", "server", conn.server.address)
		g.s.wire.leave(conn)
	}
	g.conn = conn
	g.timer.Reset(g.s.stall())
}

func (g *guard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	g.timer.Stop()
}

// judge tells the end of the session from other errors, and explains those of access control.
func (s *Session) judge(err error) error {
	if errors.Is(err, zk.ErrSessionExpired) {
		s.observe(zk.Event{Type: zk.EventSession, State: zk.StateExpired})
		return fmt.Errorf("%w: %w", ErrEnded, errExpired)
	}
	if errors.Is(err, zk.ErrSessionMoved) {
		s.wire.cut(s.wire.connection()) // this one serves a session that has gone elsewhere
	}
	if Lost(err) {
		if ended := s.Err(); ended != nil {
			return ended
		}
	}
	if err != nil {
		if why := s.explain(err); why != "" {
			return fmt.Errorf("%w: %s", err, why)
		}
	}
	return err
}

// Lost reports whether an error leaves it open if the request was executed, or will be: the connection was lost,
// and the session lives. Whoever wrote reads back, or sends again what can land once only.
func Lost(err error) bool {
	var network *net.OpError // not net.Error, which a context's deadline is as well
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) ||
		errors.Is(err, zk.ErrClosing) || errors.Is(err, zk.ErrSessionMoved) ||
		errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// read is call for what changes nothing: sent again until it is answered.
func read[T any](ctx context.Context, s *Session, f func(*zk.Conn) (T, error)) (T, error) {
	for {
		v, err := call(ctx, s, f)
		if !Lost(err) {
			return v, err
		}
	}
}
