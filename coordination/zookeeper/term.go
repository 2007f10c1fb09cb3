package zookeeper

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// parallelReads bounds how many nodes a List reads at once.
const parallelReads = 128

// term is the right to write while the epoch node has the version that the claim gave it.
// Its reads are as new as they must be because the claim, each commit and each read go
// through one session, in whose order ZooKeeper answers, whichever server it is with.
type term struct {
	*store
	record record
}

func (t *term) Epoch() coordination.Epoch { return t.record.Epoch }

// fence is the first op of every multi of the term.
func (t *term) fence() zksession.Op { return zksession.Check(t.epoch, t.record.version) }

func (t *term) stale() error {
	return fmt.Errorf("%w: epoch %d is over", coordination.ErrStaleEpoch, t.record.Epoch)
}

// Check sends a multi with the fence alone, which the quorum has to agree on.
func (t *term) Check(ctx context.Context) error {
	for {
		err := t.multi(ctx, t.fence())
		switch {
		case zksession.Refused(err, 0, zk.ErrBadVersion):
			return t.stale()
		case !zksession.Lost(err):
			return err
		}
	}
}

// Resign deletes the leader's node, if the epoch is still this one.
func (t *term) Resign(ctx context.Context) error {
	for {
		err := t.multi(ctx, t.fence(), zksession.Delete(t.leader, zksession.AnyVersion))
		switch {
		case zksession.Refused(err, 0, zk.ErrBadVersion):
			return t.stale()
		case zksession.Refused(err, 1, zk.ErrNoNode):
			return nil
		case !zksession.Lost(err):
			return err
		}
	}
}

func (t *term) Get(ctx context.Context, key string) (coordination.Entry, error) {
	if err := coordination.CheckKey(key); err != nil {
		return coordination.Entry{}, err
	}
	path, err := t.key(key)
	if err != nil {
		return coordination.Entry{}, err
	}
	n, err := t.get(ctx, path)
	switch {
	case errors.Is(err, zk.ErrNoNode), err == nil && len(n.Data) == 0: // or a directory
		return coordination.Entry{}, fmt.Errorf("%w: %s", coordination.ErrNotFound, key)
	case err != nil:
		return coordination.Entry{}, err
	}
	return entry(key, n)
}

// List reads directory by directory, the nodes of a level at once.
func (t *term) List(ctx context.Context, prefix string) ([]coordination.Entry, error) {
	if err := coordination.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	top := strings.TrimSuffix(prefix, "/")
	if _, err := t.key(top); err != nil {
		return nil, err
	}
	keys, err := t.below(ctx, []string{top})
	if err != nil {
		return nil, err
	}
	var entries []coordination.Entry
	for len(keys) > 0 {
		var found []coordination.Entry
		if found, keys, err = t.level(ctx, keys); err != nil {
			return nil, err
		}
		entries = append(entries, found...)
	}
	slices.SortFunc(entries, func(a, b coordination.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries, nil
}

// few keys are asked for what is below them without waiting for which are directories: a round trip of a takeover is
// worth more than some reads in vain.
const few = 32

// level reads keys, and returns the keys that are directly below them.
func (t *term) level(ctx context.Context, keys []string) (entries []coordination.Entry, below []string, err error) {
	var nodes []node
	var reads errgroup.Group
	reads.Go(func() (err error) {
		nodes, err = each(ctx, keys, func(ctx context.Context, key string) (node, error) { return t.get(ctx, t.base+"/"+key) })
		return err
	})
	if len(keys) <= few {
		reads.Go(func() (err error) {
			below, err = t.below(ctx, keys)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, nil, err
	}
	var directories []string
	for i, n := range nodes {
		if n.Stat.NumChildren > 0 {
			directories = append(directories, keys[i])
		}
		if len(n.Data) == 0 {
			continue // a directory, or deleted since
		}
		e, err := entry(keys[i], n)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
	}
	if len(keys) > few {
		below, err = t.below(ctx, directories)
	}
	return entries, below, err
}

// below returns the keys directly in directories.
func (t *term) below(ctx context.Context, directories []string) ([]string, error) {
	names, err := each(ctx, directories, func(ctx context.Context, key string) ([]string, error) {
		return t.children(ctx, t.base+"/"+key)
	})
	if err != nil {
		return nil, err
	}
	var keys []string
	for i, directory := range directories {
		for _, name := range names[i] {
			keys = append(keys, directory+"/"+name)
		}
	}
	return keys, nil
}

// each calls f for all keys, several at once, and returns the results in their order: the
// zero value for a node that is not there.
func each[T any](ctx context.Context, keys []string, f func(context.Context, string) (T, error)) ([]T, error) {
	results := make([]T, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelReads)
	for i, key := range keys {
		g.Go(func() error {
			v, err := f(ctx, key)
			if errors.Is(err, zk.ErrNoNode) {
				return nil
			}
			results[i] = v
			return err
		})
	}
	return results, g.Wait()
}

// envelope is what a key's node holds: the nonce of the commit that wrote it, a line of its
// own, and the value. It is never empty, as a directory is.
func envelope(nonce string, value []byte) []byte {
	return append(append([]byte(nonce), '\n'), value...)
}

func openEnvelope(data []byte) (nonce string, value []byte, ok bool) {
	line, value, ok := bytes.Cut(data, []byte{'\n'})
	return string(line), value, ok
}

func entry(key string, n node) (coordination.Entry, error) {
	_, value, ok := openEnvelope(n.Data)
	if !ok {
		return coordination.Entry{}, fmt.Errorf("zookeeper: the node of key %q holds %q, which no commit wrote", key, clipped(n.Data))
	}
	return coordination.Entry{Key: key, Value: value, Version: coordination.Version(n.Stat.Version)}, nil
}
