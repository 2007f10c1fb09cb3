package operator

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// Wiring is one subtask: what its steps have in common while it is put together, and what its
// loop needs to know of them afterwards. Only the subtask's goroutine uses it, but for the
// counters, which anyone may read.
type Wiring struct {
	ctx context.Context
	cfg ContextConfig

	current string // the operator that works, or that worked when an error or panic came
	waiting bool   // its last step found nothing to do
	between func() error
	holding
	flushers []Flusher
	sinks    []Finisher

	In      atomic.Uint64 // records taken from gates or readers
	Out     atomic.Uint64 // records given to exchanges
	blocked []func() time.Duration
	drains  []func() error // of the writers

	keep     state.Opener // nil: states are kept in memory
	scratch  string       // a directory for what keeps them
	backends []state.Backend

	checkpoints
	survivors
	tallies
}

// Flusher is a step that holds records back to hand on more of them at once.
type Flusher interface {
	// Flush hands on what is held.
	Flush() error
	// Deadline returns when Flush is due, by the age of the oldest record held; false if
	// nothing is held.
	Deadline() (time.Time, bool)
}

// Finisher is a step whose result becomes visible only by a completed checkpoint or the end of
// the job: a sink.
type Finisher interface {
	// Prepare returns everything that the sink has written and that is not known to be visible.
	Prepare(id job.CheckpointID) ([]job.OperatorOutput, error)
	// Finish does the same at the end of the input.
	Finish() ([]job.OperatorOutput, error)
	// Abort removes what is not prepared; after Finish it has nothing to do.
	Abort() error
	// Settles reports, after Finish, whether the sink has output that it makes visible itself, and that Settle is to wait for.
	Settles() bool
	// Settle returns once everything is visible. It is called after Finish: at once where there are checkpoints, of
	// which one is to come, and else when every subtask of the job has come to its end.
	Settle() error
	// Close frees what the sink holds. It is called last, whatever happened.
	Close() error
}

// NewWiring returns an empty subtask that ends with ctx. Of cfg, the operator's name is set for
// each operator.
func NewWiring(ctx context.Context, cfg ContextConfig) *Wiring {
	if cfg.Metrics == nil {
		cfg.Metrics = new(MetricNames)
	}
	return &Wiring{ctx: ctx, cfg: cfg, checkpoints: checkpoints{wake: make(chan struct{}, 1)}, tallies: tallies{names: cfg.Metrics}}
}

// KeepIn says, before the subtask is wired, where keyed state is kept, nil: in memory, and a directory for what
// is of no use after the process, "": the system's.
func (w *Wiring) KeepIn(states state.Opener, scratch string) { w.keep, w.scratch = states, scratch }

// Between says, before the subtask is wired, what is called now and then in a step that goes on for long, as where many timers fire at
// once: it may wait. Its error ends the step.
func (w *Wiring) Between(called func() error) { w.between = called }

// pause is called now and then in a step that goes on for long.
func (w *Wiring) pause() error {
	if err := context.Cause(w.ctx); err != nil || w.between == nil {
		return err
	}
	return w.between()
}

// backend opens the backend of one operator; nil: its states are kept in memory.
func (w *Wiring) backend(operator string, groups int) (state.Backend, error) {
	var pieces []state.Restored
	for _, r := range w.restored[operator] {
		if r.Handle.Part != "" {
			pieces = append(pieces, r)
		}
	}
	if w.keep == nil {
		if len(pieces) > 0 {
			return nil, errors.New("its state was written by a store on disk, and the job keeps its state in memory now: give the job that store again (Env.KeepState)")
		}
		return nil, nil
	}
	ctx := w.Context(operator)
	b, err := w.keep.Open(state.Place{
		Operator: operator, Subtask: ctx.Subtask(), Parallelism: ctx.Parallelism(), Groups: groups, Directory: w.scratch,
		Checkpoint: w.taken, Restored: pieces,
	})
	if err == nil {
		w.backends = append(w.backends, b)
	}
	return b, err
}

// Close closes what keeps the states; no checkpoint is taken after it.
func (w *Wiring) Close() error {
	var errs []error
	for _, b := range w.backends {
		errs = append(errs, b.Close())
	}
	w.backends = nil
	return errors.Join(errs...)
}

// Context returns the context of one operator.
func (w *Wiring) Context(operator string) *Context {
	cfg := w.cfg
	cfg.Operator = operator
	cfg.Inherited = w.inherited[operator]
	if cfg.Logger != nil {
		cfg.Logger = cfg.Logger.With("operator", operator, "subtask", cfg.Subtask)
	}
	c := NewContext(w.ctx, cfg)
	c.metrics = &w.count(operator).metrics
	return c
}

// Current returns the name of the operator that works now, or that last worked.
func (w *Wiring) Current() string { return w.current }

// Enter says that the named operator works now.
func (w *Wiring) Enter(operator string) { w.current = operator }

// as has the named operator work, and then again whoever did before. After an error it stays told.
func (w *Wiring) as(operator string, work func() error) error {
	caller := w.current
	w.current = operator
	if err := work(); err != nil {
		return err
	}
	w.current = caller
	return nil
}

// Flushers returns what is to be flushed by age: the subtask's writers and sinks.
func (w *Wiring) Flushers() []Flusher { return w.flushers }

// Sinks returns what is to be finished or aborted at the end.
func (w *Wiring) Sinks() []Finisher { return w.sinks }

// Settles reports, after the sinks were asked to finish, whether there is one to wait for.
func (w *Wiring) Settles() bool {
	return slices.ContainsFunc(w.sinks, Finisher.Settles)
}

// Drain waits until the subtask's consumers have released all that it sent; it is called once,
// after the end was passed on. It fails when the subtask's context ends.
//
// It cannot deadlock. The end of the input went through the whole chain, so on every
// channel of every writer all batches, events and the End are sent before the first writer is drained:
// a consumer that holds back one channel until another has caught up (as aligned barriers do)
// waits for nothing that is still to come from here. And this subtask has taken and
// released all of its own input, so nobody upstream waits for it.
func (w *Wiring) Drain() error {
	for _, drain := range w.drains {
		if err := drain(); err != nil {
			return err
		}
	}
	return nil
}

// Blocked returns for how long the subtask has waited for its consumers.
func (w *Wiring) Blocked() time.Duration {
	var d time.Duration
	for _, b := range w.blocked {
		d += b()
	}
	return d
}

// Guard returns a Receiver in front of the steps of the named operator that tells w when it is
// at work, and counts what it takes.
func Guard[T any](w *Wiring, name string, out Receiver[T]) Receiver[T] {
	g := &guard[T]{w: w, name: name, out: out}
	if w != nil { // nil: the operator is made to be looked at, not to run
		g.in = &w.count(name).in
	}
	return g
}

// guard stands before the steps of one operator and tells the wiring that it is at work, so
// that an error or panic is laid at the right door.
type guard[T any] struct {
	w    *Wiring
	name string
	in   *atomic.Uint64 // nil: what is taken is not counted here
	out  Receiver[T]
}

func (g *guard[T]) Batch(records []T) error {
	if g.in != nil {
		g.in.Add(uint64(len(records)))
	}
	return g.w.as(g.name, func() error { return g.out.Batch(records) })
}

func (g *guard[T]) Event(e record.Event) error {
	return g.w.as(g.name, func() error { return g.out.Event(e) })
}

func (g *guard[T]) End() error { return g.w.as(g.name, g.out.End) }
