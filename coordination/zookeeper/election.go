package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// kept is how many epochs the history has.
const kept = 64

// Leader reads the epoch record, has the quorum confirm that it is the newest, and then
// looks for the leader's node in the same session.
func (s *store) Leader(ctx context.Context) (coordination.Leadership, error) {
	r, err := s.confirmed(ctx)
	if err != nil {
		return coordination.Leadership{}, err
	}
	alive, err := s.exists(ctx, s.leader)
	return r.leadership(alive), err
}

// confirmed is the epoch record that was in force at some moment after the call: the newest
// one that was read, if the quorum says so.
func (s *store) confirmed(ctx context.Context) (record, error) {
	r, known := s.latest.newest()
	for {
		if !known {
			var err error
			if r, err = s.local(ctx); err != nil {
				return record{}, err
			}
		}
		err := s.multi(ctx, zksession.Check(s.epoch, r.version))
		if err == nil {
			return r, nil
		}
		if !again(err) {
			return record{}, err
		}
		known = false // there is a newer one, which this server saw before it passed the refusal on
	}
}

// local is the epoch record as the session's server knows it: never older than what an
// earlier answer to this session was based on.
func (s *store) local(ctx context.Context) (record, error) {
	n, err := s.get(ctx, s.epoch)
	return s.decode(n, err)
}

// decode makes a record of what reading the epoch node has returned, and remembers it.
func (s *store) decode(n node, err error) (record, error) {
	if errors.Is(err, zk.ErrNoNode) {
		return record{}, fmt.Errorf("zookeeper: the node %s is gone: somebody deleted the cluster's nodes", s.epoch)
	}
	if err != nil {
		return record{}, err
	}
	r, err := decodeRecord(s.epoch, n)
	if err == nil {
		s.latest.put(r)
	}
	return r, err
}

// Claim sends the take-over at once if the record that it is over was read before. Whatever
// else comes of it than success, it reads what is in force and decides by that.
func (s *store) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	if err := coordination.CheckSize("the candidate's data", len(c.Data)); err != nil {
		return nil, err
	}
	r, known := s.latest.over(over.Epoch)
	alive := over.Alive
	for {
		if known {
			next := record{Epoch: r.Epoch + 1, ID: c.ID, Nonce: nonce, Data: c.Data, version: r.version + 1}
			err := s.takeOver(ctx, next, alive)
			if err == nil {
				return s.claimed(next), nil
			}
			if !again(err) {
				return nil, outcome(ctx, "claim", err)
			}
		}
		var err error
		if r, alive, err = s.inForce(ctx); err != nil {
			return nil, outcome(ctx, "claim", err)
		}
		switch {
		case r.Epoch > 0 && r.Nonce == nonce: // mine, whenever it appears (R8)
			return s.revive(ctx, r, c)
		case r.Epoch != over.Epoch:
			return nil, fmt.Errorf("%w: epoch %d is in force, of %q", coordination.ErrLost, r.Epoch, r.ID)
		case alive && !over.Alive && r.Epoch > 0:
			return nil, fmt.Errorf("%w: the leader of epoch %d, %q, lives again", coordination.ErrLost, r.Epoch, r.ID)
		}
		known = true
	}
}

// takeOver is the one multi by which an epoch is taken. The leader's node is deleted first
// if it is thought to be there; if that is wrong, the multi is refused.
func (s *store) takeOver(ctx context.Context, next record, alive bool) error {
	ops := []zksession.Op{
		zksession.Check(s.epoch, next.version-1),
		zksession.Set(s.epoch, next.encode(), next.version-1),
	}
	if alive {
		ops = append(ops, zksession.Delete(s.leader, zksession.AnyVersion))
	}
	ops = append(ops,
		s.createEphemeral(s.leader, next.sign()),
		s.create(s.past(next.Epoch), next.header()))
	err := s.multi(ctx, ops...)
	if zksession.Refused(err, len(ops)-1, zk.ErrNodeExists) {
		return fmt.Errorf("zookeeper: %s exists already, but the epoch in force is %d: somebody has reset %s; delete what is in %s above that epoch, or the whole cluster's nodes",
			s.past(next.Epoch), next.Epoch-1, s.epoch, s.history)
	}
	return err
}

// inForce is the record in force and whether there is a leader's node.
func (s *store) inForce(ctx context.Context) (record, bool, error) {
	r, err := s.confirmed(ctx)
	if err != nil {
		return record{}, false, err
	}
	alive, err := s.exists(ctx, s.leader)
	return r, alive, err
}

// claimed is the term of an epoch that this session has just taken.
func (s *store) claimed(r record) coordination.Term {
	s.latest.put(r)
	s.leadership.publishIf(r.leadership(true), func(told, _ coordination.Leadership) bool {
		return told.Epoch < r.Epoch // else the follower knows more than this claim does
	})
	if r.Epoch > kept {
		s.session.Go(s.pruneHistory) // not if the session has ended, which the term will tell
	}
	return &term{store: s, record: r}
}

// Resume returns the term of an epoch with this nonce, if it is in force.
func (s *store) Resume(ctx context.Context, c coordination.Candidate, nonce string) (coordination.Term, error) {
	r, err := s.confirmed(ctx)
	if err != nil {
		return nil, err
	}
	if r.Epoch == 0 || r.Nonce != nonce {
		return nil, fmt.Errorf("%w: epoch %d is in force, of %q", coordination.ErrStaleEpoch, r.Epoch, r.ID)
	}
	return s.revive(ctx, r, c)
}

// revive makes the leader's node of epoch r one of this session, while r is in force.
func (s *store) revive(ctx context.Context, r record, c coordination.Candidate) (coordination.Term, error) {
	alive := record{Epoch: r.Epoch, ID: c.ID}
	for {
		n, err := s.get(ctx, s.leader)
		ops := []zksession.Op{zksession.Check(s.epoch, r.version)}
		switch {
		case err == nil && n.Stat.EphemeralOwner == s.session.ID():
			// This session's own, so it lives; that it is of epoch r the check tells.
		case err == nil:
			ops = append(ops, zksession.Delete(s.leader, zksession.AnyVersion), s.createEphemeral(s.leader, alive.sign()))
		case errors.Is(err, zk.ErrNoNode):
			ops = append(ops, s.createEphemeral(s.leader, alive.sign()))
		default:
			return nil, err
		}
		err = s.multi(ctx, ops...)
		switch {
		case err == nil:
			return &term{store: s, record: r}, nil
		case zksession.Refused(err, 0, zk.ErrBadVersion):
			return nil, fmt.Errorf("%w: epoch %d is over", coordination.ErrStaleEpoch, r.Epoch)
		case !again(err):
			return nil, err
		}
	}
}

// pruneLater is how long after a claim the history is pruned: a session's requests are answered in their order, and
// the new leader's reads are urgent.
const pruneLater = time.Second

// pruneHistory deletes the oldest records. Any session may do it at any time.
func (s *store) pruneHistory() {
	timer := time.NewTimer(pruneLater)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.session.Done():
		return
	}
	names, err := s.children(s.session.Context(), s.history)
	if err != nil {
		s.log.Debug("zookeeper: cannot list the history of epochs; the next claim prunes it", "error", err)
		return
	}
	var epochs []coordination.Epoch
	for _, name := range names {
		if e, err := strconv.ParseUint(name, 10, 64); err == nil {
			epochs = append(epochs, coordination.Epoch(e))
		}
	}
	slices.SortFunc(epochs, func(a, b coordination.Epoch) int { return cmp.Compare(b, a) })
	for _, e := range epochs[min(kept, len(epochs)):] {
		err := s.multi(s.session.Context(), zksession.Delete(s.past(e), zksession.AnyVersion))
		if err != nil && !again(err) {
			s.log.Debug("zookeeper: cannot prune the history of epochs; the next claim does", "error", err)
			return
		}
	}
}
