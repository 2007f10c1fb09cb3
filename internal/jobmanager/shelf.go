package jobmanager

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// shelf has the plans of jobs that go on at hand, so that a takeover waits for no storage. The leader tells which there
// are; a plan is called by its hash, so what is on the shelf is what was committed (R7 is of the names). Its goroutine,
// run, reads what is wanted; a plan that cannot be read now is read when it is needed.
type shelf struct {
	storage *storage.Storage
	log     *slog.Logger
	wake    chan struct{}

	mu     sync.Mutex
	wanted []string              // the newest names
	plans  map[string]*job.Graph // nobody changes a plan
}

func newShelf(s *storage.Storage, log *slog.Logger) *shelf {
	return &shelf{storage: s, log: log, wake: make(chan struct{}, 1), plans: make(map[string]*job.Graph)}
}

// want has the plans with these names put on the shelf, and others taken away. It does not wait.
func (s *shelf) want(names []string) {
	s.mu.Lock()
	s.wanted = names
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // run has yet to look
	}
}

func (s *shelf) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			s.fill(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (s *shelf) fill(ctx context.Context) {
	s.mu.Lock()
	names := s.wanted
	for name := range s.plans {
		if !slices.Contains(names, name) {
			delete(s.plans, name)
		}
	}
	s.mu.Unlock()
	for _, name := range names {
		if _, err := s.plan(ctx, name); err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrNotFound) {
			s.log.Debug("a plan cannot be read beforehand", "plan", name, "error", err)
		}
	}
}

// plan is the plan with this name, from the shelf if it is there.
func (s *shelf) plan(ctx context.Context, name string) (*job.Graph, error) {
	s.mu.Lock()
	plan := s.plans[name]
	s.mu.Unlock()
	if plan != nil {
		return plan, nil
	}
	plan, err := s.storage.Graph(ctx, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.plans[name] = plan
	s.mu.Unlock()
	return plan, nil
}

// plans are the names of those that jobs which go on run by, or are about to.
func (j *jobs) plans() rpc.Plans {
	var p rpc.Plans
	for _, o := range j.all() {
		in := &o.written.Load().intent
		for _, name := range []string{in.GraphHash, in.NextGraph()} {
			if name != "" && !in.Phase.Terminal() && !slices.Contains(p.Names, name) {
				p.Names = append(p.Names, name)
			}
		}
	}
	slices.Sort(p.Names)
	return p
}

// tellPlans tells the standbys that have not heard of them which plans there are.
func (l *leader) tellPlans(standbys []*session) {
	plans := l.jobs.plans()
	l.shelf.want(plans.Names)
	now := strings.Join(plans.Names, " ")
	for _, s := range standbys {
		if s.plans == nil || *s.plans != now {
			s.plans = &now
			s.post(l.header, plans)
		}
	}
}
