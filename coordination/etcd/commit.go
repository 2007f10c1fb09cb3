package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/perennial-io/perennial/coordination"
)

// Commit implements coordination.Term: one transaction, the same at each try.
func (t *Term) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	if err := checkOps(ops); err != nil {
		return nil, err
	}
	s, c := t.store, t.newCommit(ops)
	var versions []coordination.Version
	err := s.write(ctx, "commit "+ops[0].Key, func(ctx context.Context, n int) error {
		effects := c.effects
		if len(effects) == 0 { // checks only: a read, see ask
			effects = s.probing(n, effects)
		}
		resp, err := s.client.Txn(ctx).If(c.compares...).Then(effects...).Else(c.reads...).Commit()
		if err != nil {
			return err
		}
		if resp.Succeeded {
			versions = c.versions(resp.Header.Revision)
			t.reached(resp.Header.Revision)
			return nil
		}
		versions, err = c.readBack(resp, n > 0)
		return err
	})
	if errors.Is(err, coordination.ErrUnknown) {
		t.floor.Store(unsure)
	}
	return versions, err
}

// checkOps refuses before sending what must not be sent.
func checkOps(ops []coordination.Op) error {
	for _, op := range ops {
		if err := checkOwn(op.Key); err != nil {
			return err
		}
	}
	return coordination.CheckOps(ops)
}

// commit is one Commit as a transaction: every try sends exactly this.
type commit struct {
	term     *Term
	ops      []coordination.Op
	nonce    string
	compares []clientv3.Cmp // the epoch, then each op's version
	effects  []clientv3.Op
	reads    []clientv3.Op // the else-branch: the epoch, then each op's key
}

func (t *Term) newCommit(ops []coordination.Op) *commit {
	k := t.store.keys
	c := &commit{term: t, ops: ops, nonce: coordination.NewNonce()}
	c.compares = append(c.compares, t.inForce())
	c.reads = append(c.reads, clientv3.OpGet(k.epoch()))
	for _, op := range ops {
		key := k.value(op.Key)
		c.compares = append(c.compares, clientv3.Compare(clientv3.ModRevision(key), "=", revisionWanted(op)))
		c.reads = append(c.reads, clientv3.OpGet(key))
		switch op.Kind {
		case coordination.OpCreate, coordination.OpSet:
			c.effects = append(c.effects, clientv3.OpPut(key, seal(c.nonce, op.Value)))
		case coordination.OpDelete:
			c.effects = append(c.effects, clientv3.OpDelete(key))
		}
	}
	return c
}

// revisionWanted is what an op's key must be at; etcd says 0 for a key that is not there.
func revisionWanted(op coordination.Op) int64 {
	if op.Kind == coordination.OpCreate || op.Version == coordination.NoVersion {
		return 0
	}
	return int64(op.Version)
}

// versions are the keys' versions after revision has applied the commit.
func (c *commit) versions(revision int64) []coordination.Version {
	v := make([]coordination.Version, len(c.ops))
	for i, op := range c.ops {
		switch op.Kind {
		case coordination.OpCreate, coordination.OpSet:
			v[i] = coordination.Version(revision)
		case coordination.OpDelete:
			v[i] = coordination.NoVersion
		case coordination.OpCheck:
			v[i] = op.Version
		}
	}
	return v
}

// readBack explains a try whose comparisons did not hold. After a try that got no answer
// that may be because it was applied: then the values carry this commit's nonce. It is asked
// first, as such a commit stands even if its epoch has passed since.
func (c *commit) readBack(resp *clientv3.TxnResponse, retried bool) ([]coordination.Version, error) {
	if revision, landed := c.landed(resp); landed {
		c.term.reached(resp.Header.Revision)
		return c.versions(revision), nil
	}
	if err := c.term.verify(first(resp, 0)); err != nil {
		if retried {
			// Applied, and overwritten by a later leader? Who was replaced is told both.
			return nil, fmt.Errorf("%w; of an earlier try: %w", err, coordination.ErrUnknown)
		}
		return nil, err
	}
	if retried && c.deleted(resp) {
		c.term.reached(resp.Header.Revision)
		return c.versions(resp.Header.Revision), nil
	}
	return nil, c.conflict(resp)
}

// landed finds the revision at which an earlier try was applied.
func (c *commit) landed(resp *clientv3.TxnResponse) (revision int64, ok bool) {
	for i := range c.ops {
		kv := c.found(resp, i)
		if kv == nil {
			continue
		}
		if nonce, _ := unseal(kv.Value); nonce == c.nonce {
			return kv.ModRevision, true
		}
	}
	return 0, false
}

// deleted tells whether an earlier try of a commit that writes nothing but deletes was
// applied. The epoch is in force and no two commits of it name one key at once, so nobody
// else has deleted these.
func (c *commit) deleted(resp *clientv3.TxnResponse) bool {
	deletes := 0
	for i, op := range c.ops {
		switch op.Kind {
		case coordination.OpDelete:
			if deletes++; c.found(resp, i) != nil {
				return false
			}
		case coordination.OpCreate, coordination.OpSet:
			return false // has a nonce, which is not there
		}
	}
	return deletes > 0
}

// conflict names the first key whose version is another.
func (c *commit) conflict(resp *clientv3.TxnResponse) error {
	for i, op := range c.ops {
		kv := c.found(resp, i)
		if kv.GetModRevision() != revisionWanted(op) {
			return fmt.Errorf("%s is at version %d: %w", op.Key, versionOf(kv), coordination.ErrConflict)
		}
	}
	return fmt.Errorf("a version did not match and does now: %w", coordination.ErrConflict)
}

// found is the i-th op's key as the else-branch read it, or nil.
func (c *commit) found(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue { return first(resp, i+1) }
