package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/perennial-io/perennial/coordination"
)

// errResume says that the epoch carries the claim's nonce already.
var errResume = errors.New("this claim has been made already")

// Claim implements coordination.Store: one transaction, the same at each try.
func (s *Store) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	if err := coordination.CheckSize("the data of candidate "+c.ID, len(c.Data)); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("claim epoch %d", over.Epoch+1)
	at, err := s.revisionOf(ctx, over, nonce)
	var term *Term
	if err == nil {
		term, err = s.claim(ctx, what, s.vacant(over, at), record{
			Epoch: over.Epoch + 1, ID: c.ID, Nonce: nonce, Since: time.Now().UTC(), Data: c.Data,
		})
	}
	switch {
	case errors.Is(err, errResume):
		return s.reclaim(ctx, c, nonce)
	case err != nil:
		return nil, err
	}
	return term, nil
}

// reclaim returns the term of a claim that has landed: perhaps by an earlier try of the
// same call, perhaps over a session that has ended since, so the leader is marked again.
func (s *Store) reclaim(ctx context.Context, c coordination.Candidate, nonce string) (coordination.Term, error) {
	term, err := s.Resume(ctx, c, nonce)
	switch {
	case err == nil:
		return term, nil
	case errors.Is(err, coordination.ErrStaleEpoch):
		return nil, fmt.Errorf("%w: %w", coordination.ErrLost, err)
	}
	return nil, fmt.Errorf("%w: %w", coordination.ErrUnknown, err)
}

// revisionOf finds the revision that wrote over's epoch: from memory, as the claim is
// urgent and compares it anyhow, or by asking.
func (s *Store) revisionOf(ctx context.Context, over coordination.Leadership, nonce string) (int64, error) {
	if over.Nonce == nonce && over.Epoch > 0 {
		return 0, errResume
	}
	if seen := s.seen.Load(); seen != nil && seen.Epoch == over.Epoch && seen.Nonce == over.Nonce {
		return seen.revision, nil
	}
	seen, _, err := s.look(ctx)
	switch {
	case err != nil:
		return 0, err
	case seen.Epoch == over.Epoch:
		return seen.revision, nil
	case seen.Nonce == nonce:
		return 0, errResume
	default:
		return 0, fmt.Errorf("etcd: claim epoch %d: epoch %d of %s is in force: %w", over.Epoch+1, seen.Epoch, seen.ID, coordination.ErrLost)
	}
}

// vacant is what must hold for a claim over a leadership whose epoch was written at a revision.
func (s *Store) vacant(over coordination.Leadership, at int64) []clientv3.Cmp {
	inForce := clientv3.Compare(clientv3.ModRevision(s.keys.epoch()), "=", at)
	if over.Alive || over.Epoch == 0 {
		return []clientv3.Cmp{inForce}
	}
	return []clientv3.Cmp{inForce, clientv3.Compare(clientv3.CreateRevision(s.keys.leader()), "=", 0)}
}

// claim writes next if the epoch before it is vacant.
func (s *Store) claim(ctx context.Context, what string, vacant []clientv3.Cmp, next record) (*Term, error) {
	puts, err := s.claimPuts(next)
	if err != nil {
		return nil, err
	}
	var term *Term
	err = s.write(ctx, what, func(ctx context.Context, _ int) error {
		resp, err := s.client.Txn(ctx).
			If(vacant...).
			Then(puts...).
			Else(clientv3.OpGet(s.keys.epoch())).
			Commit()
		if err != nil {
			return err
		}
		if resp.Succeeded {
			term = s.newTerm(next.Epoch, resp.Header.Revision)
			return nil
		}
		return s.lostTo(resp, next)
	})
	return term, err
}

// claimPuts is what a claim writes. The history has no data: it is for people.
func (s *Store) claimPuts(next record) ([]clientv3.Op, error) {
	value, err := next.encode()
	if err != nil {
		return nil, fmt.Errorf("etcd: encode the epoch record: %w", err)
	}
	next.Data = nil
	line, err := next.encode()
	if err != nil {
		return nil, fmt.Errorf("etcd: encode the history: %w", err)
	}
	puts := []clientv3.Op{
		clientv3.OpPut(s.keys.epoch(), value),
		clientv3.OpPut(s.keys.leader(), next.ID, clientv3.WithLease(s.lease)),
		clientv3.OpPut(s.keys.history(next.Epoch), line),
	}
	if next.Epoch > historyLength {
		puts = append(puts, clientv3.OpDelete(s.keys.history(next.Epoch-historyLength)))
	}
	return puts, nil
}

// lostTo reads from a claim's else-branch who holds the epoch: an earlier try of the same
// claim, somebody else, or who held it before and lives again.
func (s *Store) lostTo(resp *clientv3.TxnResponse, next record) error {
	seen, err := s.see(first(resp, 0))
	if err != nil {
		return err
	}
	switch {
	case seen.Nonce == next.Nonce:
		return errResume
	case seen.Epoch+1 == next.Epoch:
		return fmt.Errorf("the leader of epoch %d, %s, lives again: %w", seen.Epoch, seen.ID, coordination.ErrLost)
	}
	return fmt.Errorf("epoch %d of %s is in force: %w", seen.Epoch, seen.ID, coordination.ErrLost)
}

// Resume implements coordination.Store.
func (s *Store) Resume(ctx context.Context, c coordination.Candidate, nonce string) (coordination.Term, error) {
	seen, _, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	if seen.Nonce != nonce || seen.Epoch == 0 {
		return nil, fmt.Errorf("etcd: resume: epoch %d of %s is in force: %w", seen.Epoch, seen.ID, coordination.ErrStaleEpoch)
	}
	t := s.newTerm(seen.Epoch, seen.revision)
	what := fmt.Sprintf("resume epoch %d", t.epoch)
	if err := t.mark(ctx, what, clientv3.OpPut(s.keys.leader(), c.ID, clientv3.WithLease(s.lease))); err != nil {
		return nil, err
	}
	return t, nil
}
