package zksession

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// Node is a node's data with what ZooKeeper knows about it.
type Node struct {
	Data []byte
	Stat zk.Stat
}

// Get reads a node, as the session's server knows it: zk.ErrNoNode if there is none. Like all that
// changes nothing it is sent again, over the next connection, until it is answered or ctx ends.
func (s *Session) Get(ctx context.Context, path string) (Node, error) {
	return read(ctx, s, func(c *zk.Conn) (Node, error) {
		data, stat, err := c.Get(path)
		if err != nil {
			return Node{}, err
		}
		return Node{data, *stat}, nil
	})
}

// Exists reports whether there is a node, as far as the session's server knows.
func (s *Session) Exists(ctx context.Context, path string) (bool, error) {
	return read(ctx, s, func(c *zk.Conn) (bool, error) {
		there, _, err := c.Exists(path)
		return there, err
	})
}

// Children lists the names of the nodes directly below one, as the session's server knows them, in no order.
func (s *Session) Children(ctx context.Context, path string) ([]string, error) {
	return read(ctx, s, func(c *zk.Conn) ([]string, error) {
		names, _, err := c.Children(path)
		return names, err
	})
}

// ACL reads who may use a node.
func (s *Session) ACL(ctx context.Context, path string) ([]zk.ACL, error) {
	return read(ctx, s, func(c *zk.Conn) ([]zk.ACL, error) {
		acl, _, err := c.GetACL(path)
		return acl, err
	})
}

// Sync lets the session's server catch up with the ensemble's leader: a read after it misses nothing
// that was committed before it, if that leader was not deposed unawares.
func (s *Session) Sync(ctx context.Context, path string) error {
	_, err := read(ctx, s, func(c *zk.Conn) (string, error) { return c.Sync(path) })
	return err
}

// Ensure creates an empty node, unless it is there. Doing it twice does no harm, so a lost reply is no
// trouble.
func (s *Session) Ensure(ctx context.Context, path string, acl []zk.ACL) error {
	return s.ensure(ctx, path, func(c *zk.Conn) (string, error) { return c.Create(path, nil, zk.FlagPersistent, acl) })
}

// EnsureContainer is Ensure for a node that the ensemble removes some time after it has become empty.
func (s *Session) EnsureContainer(ctx context.Context, path string, acl []zk.ACL) error {
	return s.ensure(ctx, path, func(c *zk.Conn) (string, error) { return c.CreateContainer(path, nil, zk.FlagContainer, acl) })
}

func (s *Session) ensure(ctx context.Context, path string, create func(*zk.Conn) (string, error)) error {
	_, err := read(ctx, s, create)
	if err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}
