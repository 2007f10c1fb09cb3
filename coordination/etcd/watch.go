package etcd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/perennial-io/perennial/coordination"
)

// Observe implements coordination.Store.
func (s *Store) Observe(ctx context.Context) <-chan coordination.Leadership {
	return follow(ctx, s, s.keys.epoch(), func(found map[string]*mvccpb.KeyValue) (coordination.Leadership, error) {
		seen, err := s.see(found[s.keys.epoch()])
		return seen.leadership(found[s.keys.leader()] != nil), err
	})
}

// Join implements coordination.Store. Each try compares the key's revision, so that a
// try which lingers somewhere cannot replace what a later Join wrote.
func (s *Store) Join(ctx context.Context, m coordination.Member) error {
	if err := coordination.CheckSize("the data of member "+m.ID, len(m.Data)); err != nil {
		return err
	}
	what, key := "join as "+m.ID, s.keys.member(m.ID)
	resp, err := s.ask(ctx, what, clientv3.OpGet(key))
	if err != nil {
		return err
	}
	found := first(resp, 0)
	return s.write(ctx, what, func(ctx context.Context, _ int) error {
		resp, err := s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", found.GetModRevision())).
			Then(clientv3.OpPut(key, string(m.Data), clientv3.WithLease(s.lease))).
			Else(clientv3.OpGet(key)).
			Commit()
		if err != nil || resp.Succeeded {
			return err
		}
		found = first(resp, 0)
		if found.GetLease() == int64(s.lease) && string(found.GetValue()) == string(m.Data) {
			return nil // an earlier try
		}
		return fmt.Errorf("member %s has changed meanwhile", m.ID)
	})
}

// Members implements coordination.Store.
func (s *Store) Members(ctx context.Context) ([]coordination.Member, error) {
	resp, err := s.ask(ctx, "list the members", clientv3.OpGet(s.keys.members(), clientv3.WithPrefix()))
	if err != nil {
		return nil, err
	}
	return s.membersOf(slices.Values(resp.Responses[0].GetResponseRange().Kvs)), nil
}

// WatchMembers implements coordination.Store.
func (s *Store) WatchMembers(ctx context.Context) <-chan []coordination.Member {
	return follow(ctx, s, s.keys.members(), func(found map[string]*mvccpb.KeyValue) ([]coordination.Member, error) {
		return s.membersOf(maps.Values(found)), nil
	})
}

func (s *Store) membersOf(found iter.Seq[*mvccpb.KeyValue]) []coordination.Member {
	members := []coordination.Member{}
	for kv := range found {
		id := strings.TrimPrefix(string(kv.Key), s.keys.members())
		members = append(members, coordination.Member{ID: id, Data: kv.Value})
	}
	slices.SortFunc(members, func(a, b coordination.Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// follow sends view of all keys with the prefix, and again after each change of it.
func follow[T any](ctx context.Context, s *Store, prefix string, view func(map[string]*mvccpb.KeyValue) (T, error)) <-chan T {
	f := &follower[T]{store: s, prefix: prefix, view: view, out: make(chan T, 1)}
	ctx, release := s.scope(ctx)
	if s.ended() || !s.spawn(func() { defer release(); f.run(ctx) }) {
		release()
		close(f.out)
	}
	return f.out
}

// follower is one goroutine that keeps a copy of the keys under a prefix.
type follower[T any] struct {
	store  *Store
	prefix string
	view   func(map[string]*mvccpb.KeyValue) (T, error)
	out    chan T // holds the newest view that was not taken yet

	found map[string]*mvccpb.KeyValue
	last  T
	sent  bool
}

func (f *follower[T]) run(ctx context.Context) {
	defer close(f.out)
	for ctx.Err() == nil {
		revision, err := f.load(ctx)
		if err == nil {
			err = f.watch(ctx, revision+1)
		}
		if err != nil && ctx.Err() == nil {
			f.store.log.Warn("watching etcd was interrupted; starting again", "prefix", f.prefix, "error", err)
		}
		pause := longestPause
		if errors.Is(err, errDamaged) {
			pause = longestTry // until somebody has mended it
		}
		wait(ctx, pause)
	}
}

// load reads the present state and its revision.
func (f *follower[T]) load(ctx context.Context) (int64, error) {
	resp, err := f.store.ask(ctx, "watch "+f.prefix, clientv3.OpGet(f.prefix, clientv3.WithPrefix()))
	if err != nil {
		return 0, err
	}
	f.found = map[string]*mvccpb.KeyValue{}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		f.found[string(kv.Key)] = kv
	}
	return resp.Header.Revision, f.send()
}

// watch applies changes until the watch breaks. A server sends all changes of one
// transaction together, so no view shows half of a claim.
func (f *follower[T]) watch(ctx context.Context, from int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx)) // a server cut off from the others ends it
	defer cancel()
	for resp := range f.store.client.Watch(ctx, f.prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := resp.Err(); err != nil {
			return err
		}
		for _, event := range resp.Events {
			if event.Type == mvccpb.DELETE {
				delete(f.found, string(event.Kv.Key))
			} else {
				f.found[string(event.Kv.Key)] = event.Kv
			}
		}
		if err := f.send(); err != nil {
			return err
		}
	}
	return nil
}

// send offers the view, if it has changed, in place of one that was not taken.
func (f *follower[T]) send() error {
	v, err := f.view(f.found)
	if err != nil || f.sent && reflect.DeepEqual(v, f.last) {
		return err
	}
	select {
	case <-f.out:
	default:
	}
	f.out <- v // has room: nobody else sends
	f.last, f.sent = v, true
	return nil
}
