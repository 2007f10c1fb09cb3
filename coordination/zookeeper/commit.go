package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// commit is a Commit made ready: one multi, to be sent as it is until its outcome is known.
// A key's version is its node's data version, so the new versions are known beforehand.
type commit struct {
	requests []zksession.Op
	creates  map[int]string // path of what the request with this index creates
	versions []coordination.Version

	nonce   string
	written string // path of a value that carries the nonce, or ""
	deleted string // path of what is deleted, or ""
}

// Commit sends the multi. A lost reply is resolved by reading the nonce back, and where that
// has not been seen by sending the same multi again, which lands once at most (R8).
func (t *term) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	if err := coordination.CheckOps(ops); err != nil {
		return nil, err
	}
	c, err := t.plan(ops)
	if err != nil {
		return nil, err
	}
	mayHaveLanded := false
	for {
		err := t.multi(ctx, c.requests...)
		if err == nil {
			return c.versions, nil
		}
		var r *zksession.Refusal
		if !errors.As(err, &r) && !zksession.Lost(err) {
			return nil, outcome(ctx, "commit", err)
		}
		mayHaveLanded = mayHaveLanded || zksession.Lost(err)
		if mayHaveLanded {
			landed, err := t.landed(ctx, c)
			if err != nil {
				return nil, outcome(ctx, "commit", err)
			}
			if landed {
				return c.versions, nil
			}
		}
		if r == nil {
			continue
		}
		if err := t.answer(ctx, c, r, mayHaveLanded); err != nil {
			return nil, outcome(ctx, "commit", err)
		}
	}
}

// answer says what a refusal means to the caller, or removes its cause and returns nil.
func (t *term) answer(ctx context.Context, c commit, r *zksession.Refusal, mayHaveLanded bool) error {
	path, creates := c.creates[r.Op]
	switch {
	case r.Op == 0 && errors.Is(r, zk.ErrBadVersion) && mayHaveLanded:
		// Landed before the next leader's claim, and overwritten by it? Nobody can tell any more.
		return fmt.Errorf("%w: %w", t.stale(), coordination.ErrUnknown)
	case r.Op == 0 && errors.Is(r, zk.ErrBadVersion):
		return t.stale()
	case r.Op > 0 && creates && errors.Is(r, zk.ErrNoNode):
		return t.makeDirectories(ctx, path)
	case r.Op > 0 && (errors.Is(r, zk.ErrBadVersion) || errors.Is(r, zk.ErrNoNode) || errors.Is(r, zk.ErrNodeExists)):
		return fmt.Errorf("%w: %w", coordination.ErrConflict, r)
	}
	return fmt.Errorf("zookeeper: commit: %w", r)
}

// makeDirectories makes the nodes between the cluster's and path. They are containers: the
// ensemble removes them some time after the last key in them is gone.
func (t *term) makeDirectories(ctx context.Context, path string) error {
	for _, directory := range above(path) {
		if len(directory) <= len(t.base) {
			continue
		}
		if err := t.session.EnsureContainer(ctx, directory, t.access.own()); err != nil {
			return err
		}
	}
	return nil
}

// landed reports whether c has been executed, as far as the session's server knows: if not,
// it may yet be, and is sent again.
func (t *term) landed(ctx context.Context, c commit) (bool, error) {
	switch {
	case c.written != "":
		n, err := t.get(ctx, c.written)
		if errors.Is(err, zk.ErrNoNode) {
			return false, nil
		}
		nonce, _, _ := openEnvelope(n.Data)
		return nonce == c.nonce, err
	case c.deleted != "":
		there, err := t.exists(ctx, c.deleted)
		return !there, err
	}
	return false, nil // checks only: asked again they change nothing
}

func (t *term) plan(ops []coordination.Op) (commit, error) {
	c := commit{
		requests: []zksession.Op{t.fence()},
		creates:  make(map[int]string),
		nonce:    coordination.NewNonce(),
	}
	for _, op := range ops {
		path, err := t.key(op.Key)
		if err != nil {
			return commit{}, err
		}
		c.add(op, path, t.create)
	}
	return c, nil
}

func (c *commit) add(op coordination.Op, path string, create func(path string, data []byte) zksession.Op) {
	version, becomes := dataVersion(op.Version), coordination.NoVersion
	switch op.Kind {
	case coordination.OpCheck:
		becomes = op.Version
		if op.Version == coordination.NoVersion {
			// ZooKeeper cannot check that a node is absent; creating it tells.
			c.creates[len(c.requests)] = path
			c.requests = append(c.requests, create(path, nil), zksession.Delete(path, 0))
		} else {
			c.requests = append(c.requests, zksession.Check(path, version))
		}
	case coordination.OpCreate:
		becomes = 0
		c.written = path
		c.creates[len(c.requests)] = path
		c.requests = append(c.requests, create(path, envelope(c.nonce, op.Value)))
	case coordination.OpSet:
		becomes = coordination.Version(version) + 1
		c.written = path
		c.requests = append(c.requests, zksession.Set(path, envelope(c.nonce, op.Value), version))
	case coordination.OpDelete:
		c.deleted = path
		c.requests = append(c.requests, zksession.Delete(path, version))
	}
	c.versions = append(c.versions, becomes)
}

// dataVersion is the version for ZooKeeper, to which -1, our NoVersion, means any: what no node
// can have becomes one that no node will.
func dataVersion(v coordination.Version) int32 {
	if v < 0 || v > math.MaxInt32 {
		return math.MaxInt32
	}
	return int32(v)
}
