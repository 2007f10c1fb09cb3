package state

import (
	"context"

	"github.com/perennial-io/perennial/coordination"
)

// term is the right to write under one epoch, over one session.
type term struct {
	s     *Session
	epoch coordination.Epoch
}

func (t *term) Epoch() coordination.Epoch { return t.epoch }

func (t *term) Check(ctx context.Context) error {
	return tell(ctx, t.s, func() error { return t.s.m.check(t.epoch) })
}

func (t *term) Get(ctx context.Context, key string) (coordination.Entry, error) {
	if err := coordination.CheckKey(key); err != nil {
		return coordination.Entry{}, err
	}
	return do(ctx, t.s, func(context.Context) (coordination.Entry, error) { return t.s.m.get(key) })
}

func (t *term) List(ctx context.Context, prefix string) ([]coordination.Entry, error) {
	if err := coordination.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	return do(ctx, t.s, func(context.Context) ([]coordination.Entry, error) { return t.s.m.list(prefix), nil })
}

func (t *term) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	if err := coordination.CheckOps(ops); err != nil {
		return nil, err
	}
	return write(ctx, t.s, func(ctx context.Context) ([]coordination.Version, error) {
		return t.s.m.commit(ctx, t.epoch, ops)
	})
}

func (t *term) Resign(ctx context.Context) error {
	return tell(ctx, t.s, func() error { return t.s.m.resign(t.epoch) })
}
