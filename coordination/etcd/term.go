package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/perennial-io/perennial/coordination"
)

// unsure is a floor that no local read reaches.
const unsure = math.MaxInt64

// Term is the right to write under one epoch. It implements coordination.Term.
type Term struct {
	store   *Store
	epoch   coordination.Epoch
	claimed int64 // the revision that wrote the epoch key; every commit compares it

	// floor is the revision that a read must have reached: the claim's, then each
	// commit's and each read's. The server that was asked may lag behind the quorum, but an
	// answer from above the floor has in it all that I10 asks for, is no older than what
	// was read before, and costs no round to the leader. It is unsure after a commit whose
	// outcome is unknown, until the quorum was asked.
	floor atomic.Int64
}

func (s *Store) newTerm(e coordination.Epoch, claimed int64) *Term {
	t := &Term{store: s, epoch: e, claimed: claimed}
	t.floor.Store(claimed)
	return t
}

// Epoch implements coordination.Term.
func (t *Term) Epoch() coordination.Epoch { return t.epoch }

// Check implements coordination.Term.
func (t *Term) Check(ctx context.Context) error {
	resp, err := t.store.ask(ctx, "check the epoch", clientv3.OpGet(t.store.keys.epoch()))
	if err != nil {
		return err
	}
	return t.verify(first(resp, 0))
}

// verify compares the epoch key as it was read with the one that this term claimed.
func (t *Term) verify(epoch *mvccpb.KeyValue) error {
	if epoch != nil && epoch.ModRevision == t.claimed {
		return nil
	}
	seen, err := t.store.see(epoch)
	if err != nil {
		return err
	}
	return fmt.Errorf("epoch %d: epoch %d of %q is in force: %w", t.epoch, seen.Epoch, seen.ID, coordination.ErrStaleEpoch)
}

// Get implements coordination.Term.
func (t *Term) Get(ctx context.Context, key string) (coordination.Entry, error) {
	if err := errors.Join(coordination.CheckKey(key), checkOwn(key)); err != nil {
		return coordination.Entry{}, err
	}
	kvs, err := t.scan(ctx, key)
	if err != nil {
		return coordination.Entry{}, err
	}
	if len(kvs) == 0 {
		return coordination.Entry{}, fmt.Errorf("etcd: read %s: %w", key, coordination.ErrNotFound)
	}
	return t.entry(kvs[0]), nil
}

// List implements coordination.Term.
func (t *Term) List(ctx context.Context, prefix string) ([]coordination.Entry, error) {
	if err := errors.Join(coordination.CheckPrefix(prefix), checkOwn(prefix)); err != nil {
		return nil, err
	}
	kvs, err := t.scan(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	entries := make([]coordination.Entry, len(kvs))
	for i, kv := range kvs {
		entries[i] = t.entry(kv)
	}
	return entries, nil
}

func (t *Term) entry(kv *mvccpb.KeyValue) coordination.Entry {
	_, value := unseal(kv.Value)
	return coordination.Entry{Key: t.store.keys.key(kv.Key), Value: value, Version: versionOf(kv)}
}

// scan reads from any server that has reached the floor, else from the quorum.
func (t *Term) scan(ctx context.Context, key string, opts ...clientv3.OpOption) ([]*mvccpb.KeyValue, error) {
	s, inEtcd := t.store, t.store.keys.value(key)
	floor := t.floor.Load()
	if floor != unsure {
		if resp, err := s.nearby(ctx, inEtcd, opts...); err == nil && resp.Header.Revision >= floor {
			t.reached(resp.Header.Revision)
			return resp.Kvs, nil
		}
	}
	resp, err := s.ask(ctx, "read "+key, clientv3.OpGet(inEtcd, opts...))
	if err != nil {
		return nil, err
	}
	if floor == unsure {
		t.floor.CompareAndSwap(unsure, resp.Header.Revision)
	}
	t.reached(resp.Header.Revision)
	return resp.Responses[0].GetResponseRange().Kvs, nil
}

// nearby reads what one server has, whether or not it is the newest.
func (s *Store) nearby(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if err := s.over(ctx, nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.firstTry)
	defer cancel()
	return s.client.Get(ctx, key, append(opts[:len(opts):len(opts)], clientv3.WithSerializable())...)
}

// reached raises the floor to a revision that this term has seen. It does not settle what
// a commit left unknown.
func (t *Term) reached(revision int64) {
	for {
		floor := t.floor.Load()
		if floor >= revision || t.floor.CompareAndSwap(floor, revision) {
			return
		}
	}
}

// Resign implements coordination.Term.
func (t *Term) Resign(ctx context.Context) error {
	return t.mark(ctx, fmt.Sprintf("resign epoch %d", t.epoch), clientv3.OpDelete(t.store.keys.leader()))
}

// mark does something to the leader key, if the epoch is in force. Doing it twice does
// the same.
func (t *Term) mark(ctx context.Context, what string, op clientv3.Op) error {
	s := t.store
	return s.write(ctx, what, func(ctx context.Context, _ int) error {
		resp, err := s.client.Txn(ctx).If(t.inForce()).Then(op).Else(clientv3.OpGet(s.keys.epoch())).Commit()
		if err != nil || resp.Succeeded {
			return err
		}
		return t.verify(first(resp, 0))
	})
}

// inForce is the comparison that fences.
func (t *Term) inForce() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(t.store.keys.epoch()), "=", t.claimed)
}

var _ coordination.Term = (*Term)(nil)
