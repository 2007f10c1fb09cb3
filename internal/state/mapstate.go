package state

import (
	"iter"
	"maps"

	"github.com/perennial-io/perennial/internal/job"
)

// MapState is a map per key: values by a second key.
type MapState[M comparable, V any] interface {
	// Get returns the value of m, and whether there is one; what is said of ValueState.Get goes for it.
	Get(m M) (value V, ok bool)
	// Set sets the value of m; the memory of both from then on is the state's.
	Set(m M, value V)
	// Delete removes the value of m.
	Delete(m M)
	// All returns what is in the map, in no order. The map is not to be changed while it is walked through.
	All() iter.Seq2[M, V]
	// Len returns how many values there are. A store on disk walks through them to know.
	Len() int
	// Clear removes all values.
	Clear()
}

// OpenMap opens a state of the store.
func OpenMap[K, M comparable, V any](s *Store[K], name string) (MapState[M, V], error) {
	pieces, err := s.open(name, job.MapState)
	if err != nil {
		return nil, err
	}
	if s.backend != nil {
		return openBackedMap[K, M, V](s, name, pieces)
	}
	c, err := newCells[K, map[M]V](s, name, job.MapState, pieces)
	if err != nil {
		return nil, err
	}
	return memoryMap[K, M, V]{c}, nil
}

// memoryMap keeps maps in a table.
type memoryMap[K, M comparable, V any] struct{ *cells[K, map[M]V] }

func (t memoryMap[K, M, V]) Get(m M) (value V, ok bool) {
	if e := t.find(); e != nil {
		value, ok = e.Value[m]
	}
	return value, ok
}

func (t memoryMap[K, M, V]) Set(m M, value V) {
	e := t.make()
	if e.Value == nil {
		e.Value = map[M]V{}
	}
	e.Value[m] = value
}

func (t memoryMap[K, M, V]) Delete(m M) {
	e := t.find()
	if e == nil {
		return
	}
	if delete(e.Value, m); len(e.Value) == 0 {
		t.remove()
	}
}

func (t memoryMap[K, M, V]) All() iter.Seq2[M, V] {
	if e := t.find(); e != nil {
		return maps.All(e.Value)
	}
	return func(func(M, V) bool) {}
}

func (t memoryMap[K, M, V]) Len() int {
	if e := t.find(); e != nil {
		return len(e.Value)
	}
	return 0
}

func (t memoryMap[K, M, V]) Clear() { t.remove() }
