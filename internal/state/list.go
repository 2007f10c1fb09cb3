package state

import (
	"iter"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// ListState is a list of values per key, in the order in which they were added.
type ListState[V any] interface {
	// Add adds a value, whose memory from then on is the state's.
	Add(value V)
	// All returns the values. The list is not to be changed while they are walked through.
	All() iter.Seq[V]
	// Len returns how many values there are.
	Len() int
	// Set replaces the list, by values whose memory from then on is the state's.
	Set(values []V)
	// Clear removes all values.
	Clear()
}

// OpenList opens a state of the store.
func OpenList[K comparable, V any](s *Store[K], name string) (ListState[V], error) {
	pieces, err := s.open(name, job.ListState)
	if err != nil {
		return nil, err
	}
	if s.backend != nil {
		return openBackedList[K, V](s, name, pieces)
	}
	c, err := newCells[K, []V](s, name, job.ListState, pieces)
	if err != nil {
		return nil, err
	}
	return memoryList[K, V]{c}, nil
}

// memoryList keeps lists in a table.
type memoryList[K comparable, V any] struct{ *cells[K, []V] }

func (l memoryList[K, V]) Add(value V) {
	e := l.make()
	e.Value = append(e.Value, value)
}

func (l memoryList[K, V]) All() iter.Seq[V] {
	if e := l.find(); e != nil {
		return slices.Values(e.Value)
	}
	return func(func(V) bool) {}
}

func (l memoryList[K, V]) Len() int {
	if e := l.find(); e != nil {
		return len(e.Value)
	}
	return 0
}

func (l memoryList[K, V]) Set(values []V) {
	if len(values) == 0 {
		l.remove()
		return
	}
	l.make().Value = values
}

func (l memoryList[K, V]) Clear() { l.remove() }
