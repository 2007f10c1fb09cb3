package operator

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// Keyed is what a keyed step needs to know, beside its output.
type Keyed[K comparable, T, A, R any] struct {
	Key    func(T) K
	Groups int                        // the key groups of the job, which it chooses from
	First  func(acc *A, rec T)        // the first record of a key; acc is zero. nil: Add
	Add    func(acc *A, rec T)        // every other
	Result func(key K, acc A) (out R) // what is emitted
	Each   bool                       // emit after each record, not once per key at the end
}

// accumulators is the name of the state of a Reduce or an Aggregate.
const accumulators = "accumulators"

// Aggregate returns the step of the named operator that keeps one accumulator per key, in memory or where w says,
// beginning with those that w restores. It fails if a key or an accumulator has no codec.
func Aggregate[K comparable, T, A, R any](w *Wiring, name string, k Keyed[K, T, A, R], out Receiver[R]) (Receiver[T], error) {
	if k.First == nil {
		k.First = k.Add
	}
	a := &aggregate[K, T, A, R]{Keyed: k, out: out, buf: make([]R, 0, record.BatchSize[R]()), unalias: unaliased[R]()}
	ctx := w.Context(name)
	var err error
	if a.of, err = state.KeysOf[K](k.Groups, ctx.Subtask(), ctx.Parallelism()); err != nil {
		return nil, err
	}
	backend, err := w.backend(name, k.Groups)
	if err != nil {
		return nil, err
	}
	survivor := SurvivorOf[T](w, name, 0)
	if backend != nil {
		stored, err := a.in(w, name, backend)
		if err != nil || survivor == nil {
			return stored, err
		}
		return survivingAggregate(survivor, &stored.aggregate, stored), nil
	}
	if a.codec, err = record.CodecOf[state.Entry[K, A]](); err != nil {
		return nil, err
	}
	if a.table, err = state.TableOf[K, A](&a.of, w.Restored(name, accumulators)); err != nil {
		return nil, fmt.Errorf("operator %q: %w", name, err)
	}
	w.Remember(name, a)
	if survivor != nil {
		return survivingAggregate(survivor, a, a), nil
	}
	return a, nil
}

type aggregate[K comparable, T, A, R any] struct {
	Keyed[K, T, A, R]
	of      state.Keys[K]
	table   *state.Table[K, A]
	out     Receiver[R]
	buf     []R
	unalias func(R) R // nil: not needed
	codec   *record.Codec[state.Entry[K, A]]

	// Of the batch in hand. Keys are hashed in a loop of their own, so that the look-ups that
	// follow wait for memory together and not one after the other.
	keys   []K
	hashes []uint64
}

func (a *aggregate[K, T, A, R]) Batch(records []T) error {
	a.hash(records)
	for i := range records {
		e := a.table.Find(a.hashes[i], a.keys[i])
		if e == nil {
			e = a.table.Insert(a.hashes[i], a.of.Clone(a.keys[i]))
			a.First(&e.Value, records[i])
		} else {
			a.Add(&e.Value, records[i])
		}
		if a.Each {
			if err := a.emit(e); err != nil {
				return err
			}
		}
	}
	a.finish()
	return a.handOn()
}

// finish ends a batch.
func (a *aggregate[K, T, A, R]) finish() { clear(a.keys) } // they would pin the batch

func (a *aggregate[K, T, A, R]) hash(records []T) {
	if cap(a.keys) < len(records) {
		a.keys, a.hashes = make([]K, len(records)), make([]uint64, len(records))
	}
	a.keys, a.hashes = a.keys[:len(records)], a.hashes[:len(records)]
	for i := range records {
		k := a.Key(records[i])
		a.keys[i], a.hashes[i] = k, a.of.Hash(k)
	}
}

func (a *aggregate[K, T, A, R]) emit(e *state.Entry[K, A]) error {
	r := a.Result(e.Key, e.Value)
	if a.unalias != nil && a.Each {
		r = a.unalias(r) // the accumulator goes on changing
	}
	a.buf = append(a.buf, r)
	if len(a.buf) < cap(a.buf) {
		return nil
	}
	return a.handOn()
}

func (a *aggregate[K, T, A, R]) handOn() error {
	if len(a.buf) == 0 {
		return nil
	}
	err := a.out.Batch(a.buf)
	a.buf = a.buf[:0]
	return err
}

func (a *aggregate[K, T, A, R]) Event(e record.Event) error { return a.out.Event(e) }

// End emits one result per key, in the order in which the keys were first seen.
func (a *aggregate[K, T, A, R]) End() error {
	if !a.Each {
		for e := range a.table.All() {
			if err := a.emit(e); err != nil {
				return err
			}
		}
		if err := a.handOn(); err != nil {
			return err
		}
	}
	// What was emitted belongs to the past: a checkpoint that comes from now on must not emit it again.
	var err error
	if a.table, err = state.TableOf[K, A](&a.of, nil); err != nil {
		return err
	}
	return a.out.End()
}

// Snapshot returns the accumulators as they are now, without copying any.
func (a *aggregate[K, T, A, R]) Snapshot() ([]state.Snapshot, error) {
	return []state.Snapshot{a.table.Snapshot(state.HandleOf(accumulators, job.ValueState, a.codec), a.codec)}, nil
}
