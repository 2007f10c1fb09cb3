package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// store is a coordination.Store on one ZooKeeper session.
type store struct {
	layout
	session *zksession.Session
	access  ACL
	log     *slog.Logger

	warm    time.Duration // 0: not kept warm
	warming sync.Once

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
	s := &store{layout: nodes, access: cfg.ACL, log: cfg.Logger, warm: cfg.Warm, leadership: newFeed(isNews), membership: newFeed(otherMembers)}
	if s.session, err = zksession.Start(ctx, cfg.session(servers)); err == nil {
		if err = s.prepare(ctx); err != nil {
			s.session.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open cluster %s on %v: %w", nodes.base, servers, err)
	}
	return s, nil
}

// prepare makes sure of the cluster's own node, and creates the nodes that are always there,
// unless the last of them is.
func (s *store) prepare(ctx context.Context) error {
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
			if err := s.session.Ensure(ctx, node, s.access.own()); err != nil {
				return err
			}
		}
	}
	return s.session.Ensure(ctx, s.epoch, s.access.own())
}

// Done is closed when the session has ended.
func (s *store) Done() <-chan struct{} { return s.session.Done() }

// Close ends the session and returns when all goroutines of the Store have ended.
func (s *store) Close() error {
	s.session.Close()
	return nil
}
