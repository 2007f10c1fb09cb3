package operator

import (
	"errors"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// KeyedOperator is one subtask of an operator that a user writes with keyed state and timers: what its functions ask,
// set and emit. They all run in the subtask's goroutine, one at a time, each for one key.
//
// It also serves to ask, when a job is planned, which states the operator has: then no function runs.
type KeyedOperator[K comparable, R any] struct {
	w     *Wiring // nil when the job is planned
	name  string
	ctx   *Context // nil when the job is planned
	store *state.Store[K]
	out   Receiver[R]
	buf   []R
	clone func(R) R // nil: nobody could change a record through what another one refers to
	holds bool      // what is emitted waits until its record is done
	err   error     // the first: of a state that cannot be opened, or of what takes the output
	dead  []events  // where records and timers go that fail

	restored     []state.Restored
	broadcasts   []broadcast
	broadcasting bool // the record at hand is one of the broadcast input

	watermark  int64
	ended      bool
	eventTimes timers[K]
	clock      timers[K]
	survivor   *Survivor[Timer[K]] // of timers; nil: one that fails fails the job
	opens      []func(*Context) error
	planned    *metrics // when the job is planned, those that it asked for
}

// broadcast is a BroadcastState of any types.
type broadcast interface {
	Type() job.StateType
	Snapshot() state.Snapshot
}

// The names of the states that an operator has beside those that the user opens.
const (
	watermarkState   = "watermark"
	eventTimers      = "event timers"
	processingTimers = "timers"
)

// DescribeKeyed returns the states that an operator opens in open, or what is wrong with them.
func DescribeKeyed[K comparable, R any](open func(*KeyedOperator[K, R]) []any) ([]job.StateType, error) {
	keys, err := state.KeysOf[K](1, 0, 1)
	if err != nil {
		return nil, err
	}
	o := &KeyedOperator[K, R]{}
	if o.store, err = state.NewStore(keys, nil, nil); err != nil {
		return nil, err
	}
	open(o)
	o.checkNames()
	return o.types(), errors.Join(o.err, o.metrics().err())
}

// NewKeyed makes the operator of that name in one subtask, with the states that it opens in open, as w
// restores them, and returns its steps, which open made: a Receiver for each input.
func NewKeyed[K comparable, R any](w *Wiring, name string, groups int, out Receiver[R], open func(*KeyedOperator[K, R]) []any) ([]any, error) {
	o := &KeyedOperator[K, R]{
		w: w, name: name, ctx: w.Context(name), out: out, buf: make([]R, 0, record.BatchSize[R]()),
		restored: w.restored[name], watermark: NoWatermark, clone: unaliased[R](),
		survivor: SurvivorOf[Timer[K]](w, name, OfTimers),
	}
	if o.survivor != nil {
		o.bury(o.survivor.dead)
	}
	keys, err := state.KeysOf[K](groups, o.ctx.Subtask(), o.ctx.Parallelism())
	if err != nil {
		return nil, err
	}
	backend, err := w.backend(name, groups)
	if err != nil {
		return nil, err
	}
	if o.store, err = state.NewStore(keys, o.restored, backend); err != nil {
		return nil, err
	}
	if o.watermark, err = o.reached(); err != nil {
		return nil, err
	}
	steps := open(o)
	o.checkNames()
	if o.err != nil {
		return nil, o.err
	}
	for _, f := range o.opens {
		if err := f(o.ctx); err != nil {
			return nil, err
		}
	}
	w.Remember(name, keyedSubtask[K, R]{o})
	w.flushers = append(w.flushers, keyedSubtask[K, R]{o})
	return steps, nil
}

// unaliased returns what copies records of a type through which memory of others could be changed; nil for
// every other type, and for those that cannot be copied.
func unaliased[R any]() func(R) R {
	codec, err := record.CodecOf[R]()
	if err != nil || !codec.Mutable() {
		return nil
	}
	return codec.Clone
}

// Fail notes an error; the first one ends the subtask once the function at hand has returned.
func Fail[K comparable, R any](o *KeyedOperator[K, R], err error) {
	if o.err == nil {
		o.err = err
	}
}

// checkNames reports keyed and broadcast states of one name.
func (o *KeyedOperator[K, R]) checkNames() {
	kinds := map[string]job.StateKind{}
	for _, t := range o.types() {
		if kind, known := kinds[t.Name]; known {
			Fail(o, fmt.Errorf("state %q is there twice, as a %s and as a %s; give each a name of its own", t.Name, kind, t.Kind))
		}
		kinds[t.Name] = t.Kind
	}
}

// StoreOf is where the operator's keyed states are opened.
func StoreOf[K comparable, R any](o *KeyedOperator[K, R]) *state.Store[K] { return o.store }

// OpenBroadcastState opens a state of the operator that is the same in every subtask.
func OpenBroadcastState[M comparable, V any, K comparable, R any](o *KeyedOperator[K, R], name string) *state.BroadcastState[M, V] {
	subtask := 0
	if o.ctx != nil {
		subtask = o.ctx.Subtask()
	}
	b, err := state.OpenBroadcast[M, V](name, subtask, o.restored, func() bool { return o.broadcasting })
	if err != nil {
		Fail(o, err)
		return nil
	}
	o.broadcasts = append(o.broadcasts, b)
	return b
}

func (o *KeyedOperator[K, R]) types() []job.StateType {
	types := append(o.store.Types(), state.TypeOf[int64](watermarkState, job.WatermarkState))
	for _, b := range o.broadcasts {
		types = append(types, b.Type())
	}
	return types
}

// OnOpen says what is called once in each subtask, before the first record. What it opens can be closed by
// context.AfterFunc on ctx, which ends with the subtask.
func (o *KeyedOperator[K, R]) OnOpen(f func(ctx *Context) error) {
	if f == nil {
		Fail(o, errors.New("OnOpen(nil): expected a function"))
	}
	o.opens = append(o.opens, f)
}

// Key returns the key of the record or timer at hand.
func (o *KeyedOperator[K, R]) Key() K { return o.store.Key() }

// Context tells where the operator runs. It is nil while states are opened and the functions are made.
func (o *KeyedOperator[K, R]) Context() *Context { return o.ctx }

// Emit emits a record. One through which memory could be changed (slices, maps, pointers) is copied, as it may
// refer to state; a type without a codec cannot be, and its records are not to be changed afterwards.
func (o *KeyedOperator[K, R]) Emit(r R) {
	if o.clone != nil {
		r = o.clone(r) // it may refer to state, which goes on changing
	}
	if o.buf = append(o.buf, r); len(o.buf) == cap(o.buf) && !o.holds {
		o.handOn()
	}
}

// begin begins a batch.
func (o *KeyedOperator[K, R]) begin() { o.store.SetTime(time.Now().UnixMilli()) }

// end ends a batch, or what timers called for: what was emitted is handed on.
func (o *KeyedOperator[K, R]) end() error {
	o.handOn()
	return o.err
}

func (o *KeyedOperator[K, R]) handOn() {
	if len(o.buf) > 0 && o.err == nil {
		o.err = o.out.Batch(o.buf)
	}
	clear(o.buf)
	o.buf = o.buf[:0]
}

// bury notes where dead letters go, if they go anywhere: events follow them.
func (o *KeyedOperator[K, R]) bury(dead events) {
	if dead != nil {
		o.dead = append(o.dead, dead)
	}
}

// takeBack drops what was emitted after the first n.
func (o *KeyedOperator[K, R]) takeBack(n int) {
	clear(o.buf[n:])
	o.buf = o.buf[:n]
}

// keyedSubtask is what the subtask, and no user, does with an operator.
type keyedSubtask[K comparable, R any] struct{ *KeyedOperator[K, R] }

// Snapshot returns all states as they are now.
func (s keyedSubtask[K, R]) Snapshot() ([]state.Snapshot, error) {
	all, err := s.store.Snapshot()
	if err != nil {
		return nil, err
	}
	codec, err := record.CodecOf[int64]()
	if err != nil {
		return nil, err
	}
	mark, err := state.Small(watermarkState, job.WatermarkState, codec, []int64{s.watermark})
	all = append(all, mark)
	for _, b := range s.broadcasts {
		all = append(all, b.Snapshot())
	}
	return all, err
}
