package operator

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// in returns the step with its accumulators in a backend.
func (of *aggregate[K, T, A, R]) in(w *Wiring, name string, backend state.Backend) (*storedAggregate[K, T, A, R], error) {
	a := &storedAggregate[K, T, A, R]{aggregate: *of}
	var err error
	if a.store, err = state.NewStore(a.of, w.restored[name], backend); err != nil {
		return nil, err
	}
	if a.kept, err = state.OpenValue[K, A](a.store, accumulators); err != nil {
		return nil, err
	}
	a.table = state.NewTable[K, A](nil)
	w.Remember(name, a)
	return a, nil
}

// storedAggregate has the accumulators of the batch in hand in its table, and all others in the store: a key that
// comes several times in a batch is read and written once.
type storedAggregate[K comparable, T, A, R any] struct {
	aggregate[K, T, A, R]
	store *state.Store[K]
	kept  state.ValueState[A]
	ended bool
}

func (a *storedAggregate[K, T, A, R]) Batch(records []T) error {
	a.hash(records)
	for i := range records {
		e := a.table.Find(a.hashes[i], a.keys[i])
		found := e != nil
		if !found {
			e = a.table.Insert(a.hashes[i], a.keys[i]) // for no longer than the batch
			a.store.SetHashed(a.hashes[i], a.keys[i])
			e.Value, found = a.kept.Get()
		}
		if found {
			a.Add(&e.Value, records[i])
		} else {
			a.First(&e.Value, records[i])
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

// finish writes the accumulators of the batch back.
func (a *storedAggregate[K, T, A, R]) finish() {
	for e := range a.table.All() {
		a.store.SetHashed(a.of.Hash(e.Key), e.Key)
		a.kept.Set(e.Value)
	}
	a.store.ClearKey() // it would pin the batch, and so would the others
	a.table.Clear()
	clear(a.keys)
}

// End emits one result per key, in no order.
func (a *storedAggregate[K, T, A, R]) End() error {
	if !a.Each {
		for key, acc := range state.All[K](a.kept) {
			if err := a.emit(&state.Entry[K, A]{Key: key, Value: acc}); err != nil {
				return err
			}
		}
		if err := a.handOn(); err != nil {
			return err
		}
	}
	a.ended = true
	return a.out.End()
}

// Snapshot returns what is in the store: nothing of it, once it was emitted.
func (a *storedAggregate[K, T, A, R]) Snapshot() ([]state.Snapshot, error) {
	if a.ended {
		return []state.Snapshot{state.Empty(state.TypeOf[state.Entry[K, A]](accumulators, job.ValueState))}, nil
	}
	return a.store.Snapshot()
}
