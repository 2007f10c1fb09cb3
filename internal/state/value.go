package state

import (
	"iter"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// ValueState is one value per key. Its methods are about the key whose record, or timer, is at hand.
type ValueState[V any] interface {
	// Get returns the value, and whether there is one. What it refers to may be changed until the
	// function that was called for the record returns, and takes effect by Set only.
	Get() (value V, ok bool)
	// Set sets the value, whose memory from then on is the state's.
	Set(value V)
	// Clear removes the value.
	Clear()
}

// OpenValue opens a state of the store.
func OpenValue[K comparable, V any](s *Store[K], name string) (ValueState[V], error) {
	pieces, err := s.open(name, job.ValueState)
	if err != nil {
		return nil, err
	}
	if s.backend != nil {
		return openBackedValue[K, V](s, name, pieces)
	}
	c, err := newCells[K, V](s, name, job.ValueState, pieces)
	if err != nil {
		return nil, err
	}
	return memoryValue[K, V]{c}, nil
}

// All returns the values of all keys, which are not to be changed meanwhile.
func All[K comparable, V any](v ValueState[V]) iter.Seq2[K, V] {
	if backed, ok := v.(*backedValue[K, V]); ok {
		return backed.all()
	}
	return func(yield func(K, V) bool) {
		for e := range v.(memoryValue[K, V]).table.All() {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// memoryValue keeps values in a table.
type memoryValue[K comparable, V any] struct{ *cells[K, V] }

func (v memoryValue[K, V]) Get() (value V, ok bool) {
	if e := v.find(); e != nil {
		return e.Value, true
	}
	return value, false
}

func (v memoryValue[K, V]) Set(value V) { v.make().Value = value }
func (v memoryValue[K, V]) Clear()      { v.remove() }

// cells is a table of a store, of which the entry of the key that is set is looked up once.
type cells[K comparable, V any] struct {
	store *Store[K]
	table *Table[K, V]
	is    job.StateType
	codec *record.Codec[Entry[K, V]]

	turn  uint64 // of the store, when entry was found
	entry *Entry[K, V]
	swept int // slot
}

// newCells adds a table to the store.
func newCells[K comparable, V any](s *Store[K], name string, kind job.StateKind, pieces []Restored) (*cells[K, V], error) {
	c := &cells[K, V]{store: s, is: TypeOf[Entry[K, V]](name, kind)}
	var err error
	if c.codec, err = record.CodecOf[Entry[K, V]](); err != nil {
		return nil, err
	}
	if c.table, err = TableOf[K, V](&s.keys, pieces); err != nil {
		return nil, err
	}
	s.states = append(s.states, c)
	return c, nil
}

func (c *cells[K, V]) describe() job.StateType { return c.is }

func (c *cells[K, V]) snapshot() (Snapshot, bool) {
	return c.table.Snapshot(HandleOf(c.is.Name, c.is.Kind, c.codec), c.codec), true
}

func (c *cells[K, V]) find() *Entry[K, V] {
	if c.turn != c.store.turn {
		c.store.mustHaveKey(c.is.Name)
		c.turn, c.entry = c.store.turn, c.table.Find(c.store.hash, c.store.key)
	}
	return c.entry
}

// make returns the entry of the key, a new one if there is none.
func (c *cells[K, V]) make() *Entry[K, V] {
	if e := c.find(); e != nil {
		return e
	}
	c.entry = c.table.Insert(c.store.hash, c.store.keys.Clone(c.store.key))
	return c.entry
}

// sweep looks at some entries, the next ones at each call.
func (c *cells[K, V]) sweep(entries int, grown aging[V]) {
	for range min(entries, c.table.n) {
		c.swept = (c.swept + 1) % c.table.n
		e := c.table.peek(c.swept)
		if e == nil || !grown.stale(&e.Value) {
			continue
		}
		e = c.table.alone(c.swept)
		if grown.trim(&e.Value) {
			c.table.Remove(c.store.keys.Hash(e.Key), e.Key)
		}
		c.store.turn++
	}
}

func (c *cells[K, V]) remove() {
	if c.find() != nil {
		c.table.Remove(c.store.hash, c.store.key)
		c.entry = nil
	}
}
