package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/perennial-io/perennial/coordination"
)

// The session is an etcd lease with a clock of its own beside it. The clock starts when a
// renewal is sent, not when its answer arrives, so it ends no later than the lease does.
// Once it has run out the session is over for good, even if etcd would still renew it: what
// this process said while nobody could hear it is not picked up again.

// grant opens the session; it returns when etcd has answered or ctx has ended.
func (s *Store) grant(ctx context.Context, timeout time.Duration) error {
	seconds := int64((timeout + time.Second - 1) / time.Second)
	slow := time.AfterFunc(3*time.Second, func() {
		s.log.Warn("etcd does not answer; still trying", "endpoints", s.client.Endpoints())
	})
	defer slow.Stop()
	// A grant whose reply is lost leaves a lease without keys, which ends by itself.
	return s.read(ctx, "open a session", func(ctx context.Context, _ int) error {
		sent := s.now()
		resp, err := s.client.Grant(ctx, seconds)
		if err != nil {
			return err
		}
		s.lease = resp.ID
		s.interval = time.Duration(resp.TTL) * time.Second / 3
		s.expires.Store(int64(sent + time.Duration(resp.TTL)*time.Second))
		return nil
	})
}

// keep renews the lease until the session ends.
func (s *Store) keep() {
	pause := s.interval
	for {
		wait(s.session, min(pause, s.remaining()))
		if s.ended() {
			return
		}
		sent := s.now()
		ctx, cancel := context.WithTimeout(s.session, min(s.interval, s.remaining()))
		ttl, err := s.renew(ctx, s.lease)
		cancel()
		switch {
		case err == nil:
			s.expires.Store(int64(sent + ttl))
			pause = s.interval
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			s.expire()
		default:
			pause = s.interval / 8
		}
	}
}

// now is a monotonic time: since the Store was opened.
func (s *Store) now() time.Duration { return time.Since(s.opened) }

// remaining is how long the session lasts if it is not renewed.
func (s *Store) remaining() time.Duration {
	return max(0, time.Duration(s.expires.Load())-s.now())
}

// ended tells whether the session is over, and ends it when its clock has run out.
func (s *Store) ended() bool {
	if s.session.Err() != nil {
		return true
	}
	if s.remaining() > 0 || s.lease == clientv3.NoLease {
		return false
	}
	s.log.Warn("the session ran out before etcd renewed it")
	s.end()
	return true
}

// expire ends the session because etcd has ended it.
func (s *Store) expire() {
	s.log.Warn("etcd has ended the session of this process", "lease", fmt.Sprintf("%x", int64(s.lease)))
	s.expired.Store(true)
	s.end()
}

// revokePatience is how long the end of the session may take: the process that waits for it is to end as well.
const revokePatience = 500 * time.Millisecond

// revoke ends the lease in etcd, so that what is bound to it vanishes at once.
func (s *Store) revoke() error {
	ctx, cancel := context.WithTimeout(context.Background(), revokePatience)
	defer cancel()
	var err error
	for deadline := s.firstTry; ctx.Err() == nil; deadline = min(2*deadline, revokePatience) {
		attempt, cancel := context.WithTimeout(ctx, deadline)
		_, err = s.client.Revoke(attempt, s.lease)
		if err != nil {
			wait(attempt, time.Millisecond)
		}
		cancel()
		if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
	}
	return fmt.Errorf("etcd: end the session (it ends by itself in %v): %w", s.remaining().Round(time.Millisecond), err)
}

// renewOver returns a function that renews a lease by one request over client. The
// client's own KeepAliveOnce spins while no endpoint can be reached.
func renewOver(client *clientv3.Client) func(context.Context, clientv3.LeaseID) (time.Duration, error) {
	leases := clientv3.RetryLeaseClient(client)
	return func(ctx context.Context, id clientv3.LeaseID) (time.Duration, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream
		stream, err := leases.LeaseKeepAlive(ctx)
		if err != nil {
			return 0, rpctypes.Error(err)
		}
		if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
			return 0, rpctypes.Error(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			return 0, rpctypes.Error(err)
		}
		if resp.TTL <= 0 {
			return 0, rpctypes.ErrLeaseNotFound
		}
		return time.Duration(resp.TTL) * time.Second, nil
	}
}

var _ coordination.Store = (*Store)(nil)
