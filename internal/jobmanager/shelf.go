package jobmanager

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// shelf has the plans of jobs that go on at hand, so that a takeover waits for no storage. The leader tells which there
// are; a plan is called by its hash, so what is on the shelf is what was committed (R7 is of the names). Its goroutine,
// run, reads what is wanted; a plan that cannot be read now is tried again, or read when it is needed.
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

// want has the plans with these names put on the shelf, and others taken away. It does not wait. To want the same again changes nothing.
func (s *shelf) want(names []string) {
	s.mu.Lock()
	same := slices.Equal(s.wanted, names)
	s.wanted = names
	s.mu.Unlock()
	if same {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // run has yet to look
	}
}

// shelfPause is before plans that could not be read are tried again.
const shelfPause = 10 * time.Second

func (s *shelf) run(ctx context.Context) {
	again := time.NewTimer(shelfPause)
	defer again.Stop()
	again.Stop()
	for {
		select {
		case <-s.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		if s.fill(ctx) {
			again.Stop()
		} else {
			again.Reset(shelfPause)
		}
	}
}

// fill reads what is wanted and not there, and takes away what is not wanted. It reports whether all that can be there is.
func (s *shelf) fill(ctx context.Context) (full bool) {
	s.mu.Lock()
	names := s.wanted
	unwanted := maps.Clone(s.plans)
	for _, name := range names {
		delete(unwanted, name)
	}
	for name := range unwanted {
		delete(s.plans, name)
	}
	s.mu.Unlock()
	full = true
	for _, name := range names {
		if _, err := s.plan(ctx, name); err != nil && !errors.Is(err, storage.ErrNotFound) {
			s.log.Debug("a plan cannot be read beforehand; it is tried again", "plan", name, "error", err)
			full = false
		}
	}
	return full
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
	names := map[string]bool{}
	for _, o := range j.all() {
		if in := &o.written.Load().intent; !in.Phase.Terminal() {
			names[in.GraphHash], names[in.NextGraph()] = true, true
		}
	}
	delete(names, "") // of a job that is not planned, or not about to change
	return rpc.Plans{Names: slices.Sorted(maps.Keys(names))}
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
