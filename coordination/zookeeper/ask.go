package zookeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// What a store asks of its session, whose errors are told in the contract's words.

type node = zksession.Node

func (s *store) get(ctx context.Context, path string) (node, error) {
	n, err := s.session.Get(ctx, path)
	return n, inWords(err)
}

func (s *store) exists(ctx context.Context, path string) (bool, error) {
	there, err := s.session.Exists(ctx, path)
	return there, inWords(err)
}

func (s *store) children(ctx context.Context, path string) ([]string, error) {
	names, err := s.session.Children(ctx, path)
	return names, inWords(err)
}

func (s *store) multi(ctx context.Context, ops ...zksession.Op) error {
	return inWords(s.session.Multi(ctx, ops...))
}

func (s *store) create(path string, data []byte) zksession.Op {
	return zksession.Create(path, data, s.access.own())
}

func (s *store) createEphemeral(path string, data []byte) zksession.Op {
	return zksession.CreateEphemeral(path, data, s.access.own())
}

func inWords(err error) error {
	switch {
	case errors.Is(err, zksession.ErrEnded):
		return fmt.Errorf("%w: %w", coordination.ErrSessionEnded, err)
	case errors.Is(err, zksession.ErrTooLarge):
		return fmt.Errorf("%w: %w", coordination.ErrTooLarge, err)
	}
	return err
}

// again reports whether a multi that failed with err may be built anew from what is read
// now: its outcome is open, or something was not as it was taken to be.
func again(err error) bool {
	var r *zksession.Refusal
	if errors.As(err, &r) {
		return errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNodeExists)
	}
	return zksession.Lost(err)
}

// outcome says of a conditional write that failed with err, not to be sent again, whether it
// may have been executed nevertheless: if it was given up because ctx or the session ended.
func outcome(ctx context.Context, what string, err error) error {
	gaveUp := ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	if gaveUp || errors.Is(err, coordination.ErrSessionEnded) {
		return fmt.Errorf("%w: %s: %w", coordination.ErrUnknown, what, err)
	}
	return err
}
