package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
)

// store is a coordination.Store on one ZooKeeper session.
type store struct {
	*session
	layout
	access ACL
	log    *slog.Logger

	leadership *feed[coordination.Leadership]
	membership *feed[[]coordination.Member]

	latest latest
}

// latest remembers the newest epoch record that was read, so that a claim over it needs no read.
type latest struct {
	mu     sync.Mutex
	record *record // nil: none was read
}

func (l *latest) put(r record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record == nil || r.Epoch >= l.record.Epoch {
		l.record = &r
	}
}

// newest reports false if no record was read yet.
func (l *latest) newest() (record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record == nil {
		return record{}, false
	}
	return *l.record, true
}

// over returns the record of epoch e, if it is the newest that was read.
func (l *latest) over(e coordination.Epoch) (record, bool) {
	r, known := l.newest()
	return r, known && r.Epoch == e
}

// Open starts a session with the ensemble and prepares the cluster's nodes. While no
// server answers it says so in the log and tries on until ctx ends. Where trying on is in vain
// it fails at once: a malformed cfg, servers of which not one has a name that resolves, or none
// accepts this process (its certificate, or who it says it is), nodes of another user or version.
func Open(ctx context.Context, cfg Config) (coordination.Store, error) {
	cfg = cfg.withDefaults()
	servers, nodes, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	s := &store{layout: nodes, access: cfg.ACL, log: cfg.Logger}
	s.leadership = newFeed(isNews)
	s.membership = newFeed(otherMembers)
	if s.session, err = start(ctx, cfg, servers, s.prepare); err != nil {
		return nil, fmt.Errorf("open cluster %s on %v: %w", nodes.base, servers, err)
	}
	if granted := s.wire.timeout(); granted != cfg.SessionTimeout {
		s.log.Info("zookeeper: the ensemble granted another session timeout", "asked", cfg.SessionTimeout, "granted", granted)
	}
	return s, nil
}

// prepare makes sure of the cluster's own node, and creates the nodes that are always there,
// unless the last of them is.
func (s *store) prepare(ctx context.Context, ses *session) error {
	s.session = ses
	if err := s.own(ctx); err != nil {
		return err
	}
	there, err := s.exists(ctx, s.epoch)
	if err != nil || there {
		return err
	}
	for _, path := range []string{s.history + "/", s.members + "/", s.leader, s.epoch} {
		for _, node := range above(path) {
			if len(node) <= len(s.base) {
				continue
			}
			if err := s.makeNode(ctx, node, s.access.own()); err != nil {
				return err
			}
		}
	}
	return s.makeNode(ctx, s.epoch, s.access.own())
}

// makeNode creates an empty node, unless it is there. Doing it twice does no harm, so a lost
// reply is no trouble.
func (s *store) makeNode(ctx context.Context, path string, acl []zk.ACL) error {
	return s.make(ctx, path, func(c *zk.Conn) (string, error) { return c.Create(path, nil, zk.FlagPersistent, acl) })
}

// makeContainer is makeNode for a node that the ensemble removes once it has become empty.
func (s *store) makeContainer(ctx context.Context, path string) error {
	return s.make(ctx, path, func(c *zk.Conn) (string, error) {
		return c.CreateContainer(path, nil, zk.FlagContainer, s.access.own())
	})
}

func (s *store) make(ctx context.Context, path string, create func(*zk.Conn) (string, error)) error {
	_, err := read(ctx, s.session, create)
	if err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// exists asks the server that the session is with.
func (s *store) exists(ctx context.Context, path string) (bool, error) {
	return read(ctx, s.session, func(c *zk.Conn) (bool, error) {
		there, _, err := c.Exists(path)
		return there, err
	})
}

// node is a node's data with what ZooKeeper knows about it.
type node struct {
	data []byte
	stat zk.Stat
}

// get asks the server that the session is with: zk.ErrNoNode if there is no such node.
func (s *store) get(ctx context.Context, path string) (node, error) {
	return read(ctx, s.session, func(c *zk.Conn) (node, error) {
		data, stat, err := c.Get(path)
		if err != nil {
			return node{}, err
		}
		return node{data, *stat}, nil
	})
}

func (s *store) children(ctx context.Context, path string) ([]string, error) {
	return read(ctx, s.session, func(c *zk.Conn) ([]string, error) {
		names, _, err := c.Children(path)
		return names, err
	})
}

// Done is closed when the session has ended.
func (s *store) Done() <-chan struct{} { return s.done }

// Close ends the session and returns when all goroutines of the Store have ended.
func (s *store) Close() error {
	s.close()
	return nil
}
