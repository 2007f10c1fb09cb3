package simulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
)

// sessionTimeout is after which silence coordination ends a session.
const sessionTimeout = 4 * time.Second

// authors is where each commit says whose it is, in an entry of its own which takes effect together with it.
const authors = "simulator/"

// service is coordination as the cluster has it.
type service struct {
	w       *world
	cluster *memory.Cluster
	commits int
	terms   map[coordination.Epoch]coordination.Term // of each epoch the latest
	stale   bool                                     // a broken service: who writes under an old epoch does so under the newest, over whatever is there
}

// session is what a process has of coordination.
type session struct {
	*memory.Store
	w       *world
	process *process
	done    chan struct{} // closed when the process can know that it has ended
}

// open begins a session.
func (p *process) open(ctx context.Context) (coordination.Store, error) {
	if err := p.pass(ctx); err != nil {
		return nil, err
	}
	s := &session{Store: p.w.service.cluster.Open(), w: p.w, process: p, done: make(chan struct{})}
	p.enterSession(s.Store)
	p.w.running.Go(func() {
		<-s.Store.Done()
		_ = p.pass(context.Background()) // who is frozen hears of it later, who is dead need not
		close(s.done)
	})
	return s, nil
}

// Done implements coordination.Store, as do the others.
func (s *session) Done() <-chan struct{} { return s.done }

func (s *session) Observe(ctx context.Context) <-chan coordination.Leadership {
	return tell(ctx, s, s.Store.Observe(ctx))
}

func (s *session) WatchMembers(ctx context.Context) <-chan []coordination.Member {
	return tell(ctx, s, s.Store.WatchMembers(ctx))
}

// tell passes on the newest of what is new, while the process can hear it.
func tell[T any](ctx context.Context, s *session, news <-chan T) <-chan T {
	told := make(chan T)
	s.w.running.Go(func() {
		defer close(told)
		var next T
		var to chan<- T // nil: nothing is new
		for {
			select {
			case v, ok := <-news:
				if !ok {
					return
				}
				if s.process.pass(ctx) != nil {
					return
				}
				next, to = v, told
			case to <- next:
				to = nil
			case <-ctx.Done():
				return
			case <-s.process.heard.Done():
				return
			}
		}
	})
	return told
}

// reach calls coordination for a process that lives. A call that is under way when the process dies may have its effect,
// and the process does not learn of it; one that froze learns of it later.
func reach[T any](ctx context.Context, p *process, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := p.pass(ctx); err != nil {
		return none, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(p.heard, func() { cancel(errDead) })
	defer stop()
	v, err := call(ctx)
	if dead := p.pass(context.WithoutCancel(ctx)); dead != nil {
		return none, dead
	}
	return v, err
}

func (s *session) Leader(ctx context.Context) (coordination.Leadership, error) {
	return reach(ctx, s.process, s.Store.Leader)
}

func (s *session) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	return s.lead(ctx, func(ctx context.Context) (coordination.Term, error) { return s.Store.Claim(ctx, over, c, nonce) })
}

func (s *session) Resume(ctx context.Context, c coordination.Candidate, nonce string) (coordination.Term, error) {
	return s.lead(ctx, func(ctx context.Context) (coordination.Term, error) { return s.Store.Resume(ctx, c, nonce) })
}

func (s *session) lead(ctx context.Context, call func(context.Context) (coordination.Term, error)) (coordination.Term, error) {
	return reach(ctx, s.process, func(ctx context.Context) (coordination.Term, error) {
		t, err := call(ctx)
		if err != nil {
			return nil, err
		}
		s.w.mu.Lock()
		s.w.service.terms[t.Epoch()] = t
		s.w.mu.Unlock()
		return &term{Term: t, session: s}, nil
	})
}

func (s *session) Join(ctx context.Context, m coordination.Member) error {
	_, err := reach(ctx, s.process, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.Store.Join(ctx, m) })
	return err
}

// Close ends the session of a process that lives. That of a killed one goes by itself.
func (s *session) Close() error {
	if s.process.pass(context.Background()) != nil {
		return nil
	}
	return s.Store.Close()
}

// term signs what is committed.
type term struct {
	coordination.Term
	session *session
}

func (t *term) Check(ctx context.Context) error {
	_, err := reach(ctx, t.session.process, func(ctx context.Context) (struct{}, error) { return struct{}{}, t.Term.Check(ctx) })
	return err
}

func (t *term) Get(ctx context.Context, key string) (coordination.Entry, error) {
	return reach(ctx, t.session.process, func(ctx context.Context) (coordination.Entry, error) { return t.Term.Get(ctx, key) })
}

func (t *term) List(ctx context.Context, prefix string) ([]coordination.Entry, error) {
	return reach(ctx, t.session.process, func(ctx context.Context) ([]coordination.Entry, error) { return t.Term.List(ctx, prefix) })
}

func (t *term) Resign(ctx context.Context) error {
	_, err := reach(ctx, t.session.process, func(ctx context.Context) (struct{}, error) { return struct{}{}, t.Term.Resign(ctx) })
	return err
}

// Commit adds to what is committed who commits it.
func (t *term) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	w := t.session.w
	w.mu.Lock()
	w.service.commits++
	signed := append(ops[:len(ops):len(ops)], coordination.Create(fmt.Sprintf("%s%d", authors, w.service.commits),
		fmt.Appendf(nil, "%d %s", t.Epoch(), t.session.process.name)))
	w.mu.Unlock()
	return reach(ctx, t.session.process, func(ctx context.Context) ([]coordination.Version, error) {
		versions, err := t.Term.Commit(ctx, signed...)
		if w.service.stale && errors.Is(err, coordination.ErrStaleEpoch) {
			versions, err = overwrite(context.WithoutCancel(ctx), w.newestTerm(), signed)
		}
		if err != nil {
			return nil, err
		}
		return versions[:len(ops)], nil
	})
}

// overwrite commits whatever the versions are.
func overwrite(ctx context.Context, t coordination.Term, ops []coordination.Op) ([]coordination.Version, error) {
	blind := slices.Clone(ops)
	for i, op := range blind {
		if e, err := t.Get(ctx, op.Key); err == nil && op.Kind == coordination.OpSet {
			blind[i].Version = e.Version
		}
	}
	return t.Commit(ctx, blind...)
}

// newestTerm is that of the highest epoch.
func (w *world) newestTerm() coordination.Term {
	w.mu.Lock()
	defer w.mu.Unlock()
	var newest coordination.Term
	for epoch, t := range w.service.terms {
		if newest == nil || epoch > newest.Epoch() {
			newest = t
		}
	}
	return newest
}
