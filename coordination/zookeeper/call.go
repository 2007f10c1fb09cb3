package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
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
func call[T any](ctx context.Context, s *session, f func(*zk.Conn) (T, error)) (T, error) {
	var none T
	if err := s.ready(ctx); err != nil {
		return none, err
	}
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("zookeeper: %w", context.Cause(ctx))
	case <-s.done:
		return none, s.ended()
	}
	answer := make(chan result[T], 1)
	started := s.spawn(func() {
		defer func() { <-s.places }()
		stalled := s.cutAfter()
		defer stalled.Stop()
		v, err := f(s.conn)
		answer <- result[T]{v, err}
	})
	if !started {
		<-s.places
		return none, s.ended()
	}
	select {
	case r := <-answer:
		return r.value, s.judge(r.err)
	case <-ctx.Done():
		return none, fmt.Errorf("zookeeper: no answer: %w", context.Cause(ctx))
	case <-s.done:
		return none, s.ended()
	}
}

// cutAfter closes the present connection after a stall, unless it is stopped.
func (s *session) cutAfter() *time.Timer {
	conn := s.wire.connection()
	return time.AfterFunc(max(s.wire.timeout()/stallFraction, shortestStall), func() {
		s.log.Debug("zookeeper: no answer from the server; trying another")
		s.wire.cut(conn)
	})
}

// judge tells the end of the session from other errors, and explains those of access control.
func (s *session) judge(err error) error {
	if errors.Is(err, zk.ErrSessionExpired) {
		s.observe(zk.Event{Type: zk.EventSession, State: zk.StateExpired})
		return fmt.Errorf("%w: %w", coordination.ErrSessionEnded, errExpired)
	}
	if errors.Is(err, zk.ErrSessionMoved) {
		s.wire.cut(s.wire.connection()) // this one serves a session that has gone elsewhere
	}
	if lost(err) {
		if ended := s.ended(); ended != nil {
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

// lost reports whether an error of the library leaves it open if the request was executed.
func lost(err error) bool {
	var network *net.OpError // not net.Error, which a context's deadline is as well
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) ||
		errors.Is(err, zk.ErrClosing) || errors.Is(err, zk.ErrSessionMoved) ||
		errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// read is call for what changes nothing: sent again until it is answered.
func read[T any](ctx context.Context, s *session, f func(*zk.Conn) (T, error)) (T, error) {
	for {
		v, err := call(ctx, s, f)
		if !lost(err) {
			return v, err
		}
	}
}
