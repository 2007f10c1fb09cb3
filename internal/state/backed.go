package state

import (
	"errors"
	"iter"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// backedValue keeps values in the store's backend.
type backedValue[K comparable, V any] struct {
	backed[K]
	coder coder[V]
}

func openBackedValue[K comparable, V any](s *Store[K], name string, pieces []Restored) (ValueState[V], error) {
	coder, err := coderOf[V]()
	if err != nil {
		return nil, err
	}
	v := &backedValue[K, V]{backed[K]{store: s, is: TypeOf[Entry[K, V]](name, job.ValueState)}, coder}
	s.states = append(s.states, v)
	return v, errors.Join(v.evolve(pieces), restoreInto(s, pieces, func(value V) { v.Set(value) }))
}

func (v *backedValue[K, V]) Get() (value V, ok bool) {
	b, ok := v.get(v.key())
	if !ok {
		return value, false
	}
	value, err := v.coder.decode(b)
	v.must(err)
	return value, true
}

func (v *backedValue[K, V]) Set(value V) { v.set(v.key(), v.coder.encode(value)) }
func (v *backedValue[K, V]) Clear()      { v.delete(v.key()) }

// all returns what the backend has of the state, by key group.
func (v *backedValue[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		prefix := len(v.begin(0))
		v.each(func(at, b []byte) bool {
			key, err := v.store.decodeKey(at[prefix:])
			v.must(err)
			value, err := v.coder.decode(b)
			v.must(err)
			return yield(key, value)
		})
	}
}

// backedList keeps lists in the store's backend.
type backedList[K comparable, V any] struct {
	backed[K]
	coder coder[V]
	more  []byte
}

func openBackedList[K comparable, V any](s *Store[K], name string, pieces []Restored) (ListState[V], error) {
	coder, err := coderOf[V]()
	if err != nil {
		return nil, err
	}
	l := &backedList[K, V]{backed: backed[K]{store: s, is: TypeOf[Entry[K, []V]](name, job.ListState)}, coder: coder}
	s.states = append(s.states, l)
	return l, errors.Join(l.evolve(pieces), restoreInto(s, pieces, func(values []V) { l.Set(values) }))
}

func (l *backedList[K, V]) Add(value V) {
	l.coder.one[0] = value
	l.more = appendList(l.more[:0], l.coder.codec, l.coder.one[:])
	l.must(l.store.backend.Append(l.key(), l.more))
}

func (l *backedList[K, V]) values() []V {
	b, _ := l.get(l.key())
	values, err := readList(b, l.coder.codec)
	l.must(err)
	return values
}

func (l *backedList[K, V]) All() iter.Seq[V] { return slices.Values(l.values()) }
func (l *backedList[K, V]) Len() int         { return len(l.values()) }
func (l *backedList[K, V]) Clear()           { l.delete(l.key()) }

func (l *backedList[K, V]) Set(values []V) {
	if len(values) == 0 {
		l.Clear()
		return
	}
	l.more = appendList(l.more[:0], l.coder.codec, values)
	l.set(l.key(), l.more)
}

// backedMap keeps maps in the store's backend, each of their entries by itself.
type backedMap[K, M comparable, V any] struct {
	backed[K]
	keys  coder[M]
	coder coder[V]
}

func openBackedMap[K, M comparable, V any](s *Store[K], name string, pieces []Restored) (MapState[M, V], error) {
	keys, err := coderOf[M]()
	if err != nil {
		return nil, err
	}
	coder, err := coderOf[V]()
	if err != nil {
		return nil, err
	}
	t := &backedMap[K, M, V]{backed[K]{store: s, is: TypeOf[Entry[K, map[M]V]](name, job.MapState)}, keys, coder}
	s.states = append(s.states, t)
	return t, errors.Join(t.evolve(pieces), restoreInto(s, pieces, func(values map[M]V) {
		for m, v := range values {
			t.Set(m, v)
		}
	}))
}

func (t *backedMap[K, M, V]) at(m M) []byte {
	t.sub = append(append(t.sub[:0], t.key()...), t.keys.bare(m)...)
	return t.sub
}

func (t *backedMap[K, M, V]) Get(m M) (value V, ok bool) {
	b, ok := t.get(t.at(m))
	if !ok {
		return value, false
	}
	value, err := t.coder.decode(b)
	t.must(err)
	return value, true
}

func (t *backedMap[K, M, V]) Set(m M, value V) { t.set(t.at(m), t.coder.encode(value)) }
func (t *backedMap[K, M, V]) Delete(m M)       { t.delete(t.at(m)) }

func (t *backedMap[K, M, V]) All() iter.Seq2[M, V] {
	return func(yield func(M, V) bool) {
		prefix := slices.Clone(t.key())
		t.must(t.store.backend.Scan(prefix, after(prefix), func(key, value []byte) bool {
			m, err := t.keys.decodeBare(key[len(prefix):])
			t.must(err)
			v, err := t.coder.decode(value)
			t.must(err)
			return yield(m, v)
		}))
	}
}

func (t *backedMap[K, M, V]) Len() (n int) {
	t.must(t.store.backend.Scan(t.key(), after(t.key()), func(_, _ []byte) bool { n++; return true }))
	return n
}

func (t *backedMap[K, M, V]) Clear() {
	var keys [][]byte
	t.must(t.store.backend.Scan(t.key(), after(t.key()), func(key, _ []byte) bool {
		keys = append(keys, slices.Clone(key))
		return true
	}))
	for _, k := range keys {
		t.delete(k)
	}
}

// restoreInto sets what the pieces say of the keys of the store. What the backend itself has restored is
// there already: the pieces that name it are empty.
func restoreInto[K comparable, V any](s *Store[K], pieces []Restored, set func(V)) (err error) {
	defer s.recovered(&err)
	defer s.ClearKey()
	return readEntries(&s.keys, pieces, func(e *Entry[K, V]) error {
		s.SetKey(e.Key)
		set(e.Value)
		return nil
	})
}
