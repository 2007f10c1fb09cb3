package minicluster

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// store is a process's session with coordination. It chronicles what is committed, and carries
// nothing of a process that was killed. When that process closes it, the session lives on, as
// that of a killed process does.
type store struct {
	*memory.Store
	process *process
}

// reach calls coordination for a process that lives. A call that is under way when the process
// is killed may have its effect, and then the process does not learn of it.
func reach[T any](ctx context.Context, p *process, call func(context.Context) (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(p.heard, func() { cancel(errKilled) })
	defer stop()
	if p.isSilent() {
		return none, errKilled
	}
	v, err := call(ctx)
	if p.isSilent() {
		return none, errKilled
	}
	return v, err
}

func (s *store) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	return s.lead(ctx, Claimed, func(ctx context.Context) (coordination.Term, error) {
		return s.Store.Claim(ctx, over, c, nonce)
	})
}

func (s *store) Resume(ctx context.Context, c coordination.Candidate, nonce string) (coordination.Term, error) {
	return s.lead(ctx, Resumed, func(ctx context.Context) (coordination.Term, error) {
		return s.Store.Resume(ctx, c, nonce)
	})
}

func (s *store) lead(ctx context.Context, kind Kind, call func(context.Context) (coordination.Term, error)) (coordination.Term, error) {
	return reach(ctx, s.process, func(ctx context.Context) (coordination.Term, error) {
		t, err := call(ctx)
		if err != nil {
			return nil, err
		}
		s.note(Event{Kind: kind, Epoch: t.Epoch()})
		return &term{Term: t, store: s}, nil
	})
}

func (s *store) Join(ctx context.Context, m coordination.Member) error {
	_, err := reach(ctx, s.process, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.Store.Join(ctx, m) })
	return err
}

func (s *store) Close() error {
	if s.process.isSilent() {
		return nil
	}
	return s.Store.Close()
}

func (s *store) note(e Event) {
	e.Process = s.process.name
	s.process.c.chronicle.add(e, s.process.heard.Done())
}

// term chronicles what is committed.
type term struct {
	coordination.Term
	store *store
}

func (t *term) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	return reach(ctx, t.store.process, func(ctx context.Context) ([]coordination.Version, error) {
		versions, err := t.Term.Commit(ctx, ops...)
		if errors.Is(err, coordination.ErrStaleEpoch) {
			t.store.note(Event{Kind: Fenced, Epoch: t.Epoch()})
		}
		if err != nil {
			return nil, err
		}
		for _, op := range ops {
			if e, telling := eventOf(op); telling {
				e.Epoch = t.Epoch()
				t.store.note(e)
			}
		}
		return versions, nil
	})
}

func (t *term) Resign(ctx context.Context) error {
	_, err := reach(ctx, t.store.process, func(ctx context.Context) (struct{}, error) { return struct{}{}, t.Term.Resign(ctx) })
	return err
}

// eventOf is what a committed op says about a job or a TaskManager.
func eventOf(op coordination.Op) (e Event, telling bool) {
	if op.Kind != coordination.OpCreate && op.Kind != coordination.OpSet {
		return e, false
	}
	if instance, is := strings.CutPrefix(op.Key, "taskmanagers/"); is {
		e = Event{Kind: Recorded, Instance: instance}
		return e, json.Unmarshal(op.Value, &e.Record) == nil
	}
	if strings.HasPrefix(op.Key, "jobs/") && strings.HasSuffix(op.Key, "/intent") {
		e = Event{Kind: Decided}
		err := json.Unmarshal(op.Value, &e.Intent)
		return e, err == nil && e.Intent.Phase != execution.Phase("") // a large one is a name only
	}
	return e, false
}
