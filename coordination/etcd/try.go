package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/perennial-io/perennial/coordination"
)

const (
	longestTry   = time.Second           // deadlines of tries grow up to this
	longestPause = 50 * time.Millisecond // after a try that failed before its deadline
)

// read calls try until it succeeds; see tries.
func (s *Store) read(ctx context.Context, what string, try func(ctx context.Context, n int) error) error {
	if _, err := s.tries(ctx, try); err != nil {
		return fmt.Errorf("etcd: %s: %w", what, err)
	}
	return nil
}

// write calls try until it succeeds. An error other than the contract's refusals leaves
// the outcome unknown as soon as anything was sent.
func (s *Store) write(ctx context.Context, what string, try func(ctx context.Context, n int) error) error {
	sent, err := s.tries(ctx, try)
	switch {
	case err == nil:
		return nil
	case sent == 0 || isRefusal(err) || sent == 1 && isRejected(err):
		return fmt.Errorf("etcd: %s: %w", what, err)
	}
	return fmt.Errorf("etcd: %s: %w after %d tries: %w", what, coordination.ErrUnknown, sent, err)
}

// tries calls try with short deadlines that grow, until it succeeds, is answered with an
// error that another try would get too, or ctx or the session ends. n counts the tries
// from 0; sent is how many were begun.
func (s *Store) tries(ctx context.Context, try func(ctx context.Context, n int) error) (sent int, err error) {
	ctx, release := s.scope(ctx)
	defer release()
	var last error
	deadline, pause := s.firstTry, 2*time.Millisecond
	for n := 0; ; n++ {
		if err := s.over(ctx, last); err != nil {
			return n, err
		}
		attempt, cancel := context.WithTimeout(ctx, deadline)
		if last = try(attempt, n); !isAnswer(last) {
			wait(attempt, pause) // unless the deadline has passed anyhow
			pause = min(2*pause, longestPause)
		}
		cancel()
		switch {
		case last == nil:
			return n + 1, nil
		case errors.Is(last, rpctypes.ErrLeaseNotFound):
			s.expire()
			return n + 1, coordination.ErrSessionEnded
		case isAnswer(last):
			return n + 1, explain(last)
		}
		deadline = min(deadline*3/2, longestTry)
	}
}

// scope returns a context that ends with ctx and with the session.
func (s *Store) scope(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.session, cancel)
	return ctx, func() { stop(); cancel() }
}

// over tells why no further try makes sense, or nil. last is the last try's error.
func (s *Store) over(ctx context.Context, last error) error {
	switch {
	case s.ended():
		return coordination.ErrSessionEnded
	case ctx.Err() != nil && last != nil:
		return fmt.Errorf("%w (last try: %w)", ctx.Err(), last)
	}
	return ctx.Err()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// isAnswer tells whether another try would end the same way.
func isAnswer(err error) bool {
	return err == nil || isRefusal(err) || isRejected(err) || errors.Is(err, rpctypes.ErrLeaseNotFound)
}

// isRefusal tells whether a try read from etcd that what was wanted cannot be.
func isRefusal(err error) bool {
	for _, answer := range []error{
		coordination.ErrStaleEpoch, coordination.ErrLost, coordination.ErrConflict, errResume, errDamaged,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// isRejected tells whether etcd did not apply the request and will not apply it either
// when it is sent again.
func isRejected(err error) bool {
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return true
	}
	switch codeOf(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return true
	}
	return false
}

// codeOf is the gRPC code of an error in either of the two forms that the client returns.
func codeOf(err error) codes.Code {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code()
	}
	return status.Code(err)
}

// explain adds what a person can do to the errors of etcd that need one.
func explain(err error) error {
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%w: etcd's quota is used up and it accepts no write: compact and defragment it, then disarm its alarm", err)
	}
	return err
}

// ask reads from the quorum. The server repeats a read that was forwarded to a dead leader
// only after half a second, so every second try is a write, which has no such memory.
func (s *Store) ask(ctx context.Context, what string, gets ...clientv3.Op) (*clientv3.TxnResponse, error) {
	var resp *clientv3.TxnResponse
	err := s.read(ctx, what, func(ctx context.Context, n int) (err error) {
		resp, err = s.client.Txn(ctx).Then(s.probing(n, gets)...).Commit()
		return err
	})
	return resp, err
}

// probing adds a write to the reads of every second try.
func (s *Store) probing(n int, ops []clientv3.Op) []clientv3.Op {
	if n%2 == 0 {
		return ops
	}
	return append(ops[:len(ops):len(ops)], clientv3.OpPut(s.keys.probe(), ""))
}
