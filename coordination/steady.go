package coordination

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
)

// steadyTerm is a Term that outlives its session. Between two sessions its calls wait: the
// leader freezes, and does not step down for a hiccup of coordination (R10).
type steadyTerm struct {
	epoch  Epoch
	cancel context.CancelCauseFunc // ends the context of Lead
	done   chan error              // gets what Lead returned

	mu      sync.Mutex
	inner   Term
	session int           // counts the inner terms
	gone    bool          // inner's session has ended
	over    error         // why there will be no further session; nil: not over
	changed chan struct{} // closed and replaced when one of the above changes
}

// begin runs lead under a term that starts as inner.
func begin(ctx context.Context, inner Term, lead func(context.Context, Term) error) *steadyTerm {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &steadyTerm{epoch: inner.Epoch(), cancel: cancel, done: make(chan error, 1), inner: inner, changed: make(chan struct{})}
	go func() { t.done <- lead(ctx, t) }() // Elect waits for it
	return t
}

// returned gets the error of Lead, once. It blocks for ever if there is no term.
func (t *steadyTerm) returned() <-chan error {
	if t == nil {
		return nil
	}
	return t.done
}

// attach lets calls go on over a new session.
func (t *steadyTerm) attach(inner Term) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inner, t.gone = inner, false
	t.session++
	t.change()
}

// detach lets calls wait, if session is still the one they use.
func (t *steadyTerm) detach(session int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if session == t.session {
		t.gone = true
	}
}

// end makes all calls fail with why, and ends the context of Lead.
func (t *steadyTerm) end(why error) {
	t.mu.Lock()
	if t.over == nil {
		t.over = why
		t.change()
	}
	t.mu.Unlock()
	t.cancel(why)
}

// change wakes who waits. The mutex is held.
func (t *steadyTerm) change() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// stale reports whether a newer epoch is known to be in force.
func (t *steadyTerm) stale() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Is(t.over, ErrStaleEpoch)
}

// current returns the inner term, once there is one.
func (t *steadyTerm) current(ctx context.Context) (Term, int, error) {
	for {
		t.mu.Lock()
		inner, session, gone, over, changed := t.inner, t.session, t.gone, t.over, t.changed
		t.mu.Unlock()
		switch {
		case over != nil:
			return nil, 0, over
		case !gone:
			return inner, session, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("coordination: wait for a new session: %w", context.Cause(ctx))
		}
	}
}

// steadily calls f with the inner term, and again over the next session if one ends meanwhile.
func steadily[T any](ctx context.Context, t *steadyTerm, f func(Term) (T, error)) (T, error) {
	for {
		inner, session, err := t.current(ctx)
		if err != nil {
			var none T
			return none, err
		}
		v, err := f(inner)
		switch {
		case errors.Is(err, ErrStaleEpoch):
			t.end(err)
			return v, err
		case !errors.Is(err, ErrSessionEnded):
			return v, err
		}
		t.detach(session)
	}
}

func (t *steadyTerm) Epoch() Epoch { return t.epoch }

func (t *steadyTerm) Check(ctx context.Context) error {
	_, err := steadily(ctx, t, func(inner Term) (struct{}, error) { return struct{}{}, inner.Check(ctx) })
	return err
}

func (t *steadyTerm) Get(ctx context.Context, key string) (Entry, error) {
	return steadily(ctx, t, func(inner Term) (Entry, error) { return inner.Get(ctx, key) })
}

func (t *steadyTerm) List(ctx context.Context, prefix string) ([]Entry, error) {
	return steadily(ctx, t, func(inner Term) ([]Entry, error) { return inner.List(ctx, prefix) })
}

func (t *steadyTerm) Resign(ctx context.Context) error {
	_, err := steadily(ctx, t, func(inner Term) (struct{}, error) { return struct{}{}, inner.Resign(ctx) })
	return err
}

// Commit sends the same conditional write again over the next session. If the first did land,
// before or even after the session ended, the second conflicts, and what is there tells (R8).
func (t *steadyTerm) Commit(ctx context.Context, ops ...Op) ([]Version, error) {
	tries := 0
	versions, err := steadily(ctx, t, func(inner Term) ([]Version, error) {
		tries++
		versions, err := inner.Commit(ctx, ops...)
		if tries > 1 && errors.Is(err, ErrConflict) {
			return landed(ctx, inner, ops, err)
		}
		return versions, err
	})
	if tries > 0 && err != nil && ctx.Err() != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrStaleEpoch) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return versions, err
}

// landed returns the versions that ops gave if all that they ask for is so: within an epoch
// only its leader writes, and it has no two commits of one key under way. Else it returns conflict.
func landed(ctx context.Context, term Term, ops []Op, conflict error) ([]Version, error) {
	versions := make([]Version, len(ops))
	for i, op := range ops {
		e, err := term.Get(ctx, op.Key)
		absent := errors.Is(err, ErrNotFound)
		if err != nil && !absent {
			return nil, err
		}
		versions[i] = e.Version
		if absent {
			versions[i] = NoVersion
		}
		so := false
		switch op.Kind {
		case OpCheck:
			so = versions[i] == op.Version
		case OpCreate, OpSet:
			so = !absent && e.Version != op.Version && bytes.Equal(e.Value, op.Value)
		case OpDelete:
			so = absent
		}
		if !so {
			return nil, conflict
		}
	}
	return versions, nil
}
