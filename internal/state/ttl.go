package state

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Stamped is a value and when it was last written, in ms since 1970: how a state keeps what grows old.
type Stamped[V any] struct {
	Value V
	At    int64
}

// lifetime is for how long the values of a state live, by the clock of the store.
type lifetime[K comparable] struct {
	store *Store[K]
	ms    int64
}

func (l lifetime[K]) over(at int64) bool { return l.store.now-at >= l.ms }

// stamp marks a value that is written now. It is gone once it is older than the lifetime: removed when it is
// asked for, and by Store.Sweep.
func stamp[K comparable, V any](l lifetime[K], v V) Stamped[V] { return Stamped[V]{v, l.store.now} }

// OpenValueTTL opens a value state whose values live for ttl after they were set.
func OpenValueTTL[K comparable, V any](s *Store[K], name string, ttl time.Duration) (ValueState[V], error) {
	inner, err := OpenValue[K, Stamped[V]](s, name)
	if err != nil {
		return nil, err
	}
	l := lifetime[K]{s, ttl.Milliseconds()}
	over := func(v *Stamped[V]) bool { return l.over(v.At) }
	s.sweeps = append(s.sweeps, func(n int) { inner.(sweeper[Stamped[V]]).sweep(n, aging[Stamped[V]]{stale: over, trim: over}) })
	return ttlValue[K, V]{inner, l}, nil
}

// sweeper is a state that can look through all its keys.
type sweeper[V any] interface {
	sweep(entries int, grown aging[V])
}

// aging says what has outlived its time in what a state has for one key.
type aging[V any] struct {
	stale func(*V) bool        // something may have; it changes nothing, and is quick
	trim  func(*V) (none bool) // removes it, and tells whether nothing is left
}

// mostLooked is how many values of one map stale looks at.
const mostLooked = 16

type ttlValue[K comparable, V any] struct {
	inner ValueState[Stamped[V]]
	lifetime[K]
}

func (t ttlValue[K, V]) Get() (value V, ok bool) {
	v, ok := t.inner.Get()
	if ok && t.over(v.At) {
		t.inner.Clear()
		return value, false
	}
	return v.Value, ok
}

func (t ttlValue[K, V]) Set(value V) { t.inner.Set(stamp(t.lifetime, value)) }
func (t ttlValue[K, V]) Clear()      { t.inner.Clear() }

// OpenListTTL opens a list state whose values live for ttl after they were added.
func OpenListTTL[K comparable, V any](s *Store[K], name string, ttl time.Duration) (ListState[V], error) {
	inner, err := OpenList[K, Stamped[V]](s, name)
	if err != nil {
		return nil, err
	}
	l := lifetime[K]{s, ttl.Milliseconds()}
	grown := aging[[]Stamped[V]]{
		stale: func(vs *[]Stamped[V]) bool { return len(*vs) == 0 || l.over((*vs)[0].At) }, // the oldest, as a rule
		trim: func(vs *[]Stamped[V]) bool {
			*vs = slices.DeleteFunc(*vs, func(v Stamped[V]) bool { return l.over(v.At) })
			return len(*vs) == 0
		},
	}
	s.sweeps = append(s.sweeps, func(n int) { inner.(sweeper[[]Stamped[V]]).sweep(n, grown) })
	return ttlList[K, V]{inner, l}, nil
}

type ttlList[K comparable, V any] struct {
	inner ListState[Stamped[V]]
	lifetime[K]
}

func (t ttlList[K, V]) Add(value V) { t.inner.Add(stamp(t.lifetime, value)) }

func (t ttlList[K, V]) All() iter.Seq[V] {
	return func(yield func(V) bool) {
		for v := range t.inner.All() {
			if !t.over(v.At) && !yield(v.Value) {
				return
			}
		}
	}
}

func (t ttlList[K, V]) Len() (n int) {
	for range t.All() {
		n++
	}
	return n
}

func (t ttlList[K, V]) Set(values []V) {
	stamped := make([]Stamped[V], len(values))
	for i, v := range values {
		stamped[i] = stamp(t.lifetime, v)
	}
	t.inner.Set(stamped)
}

func (t ttlList[K, V]) Clear() { t.inner.Clear() }

// OpenMapTTL opens a map state whose values live for ttl after they were set.
func OpenMapTTL[K, M comparable, V any](s *Store[K], name string, ttl time.Duration) (MapState[M, V], error) {
	inner, err := OpenMap[K, M, Stamped[V]](s, name)
	if err != nil {
		return nil, err
	}
	l := lifetime[K]{s, ttl.Milliseconds()}
	grown := aging[map[M]Stamped[V]]{
		stale: func(vs *map[M]Stamped[V]) bool {
			looked := 0
			for _, v := range *vs { // Go begins anywhere
				if looked++; l.over(v.At) {
					return true
				}
				if looked == mostLooked {
					return false
				}
			}
			return looked == 0
		},
		trim: func(vs *map[M]Stamped[V]) bool {
			maps.DeleteFunc(*vs, func(_ M, v Stamped[V]) bool { return l.over(v.At) })
			return len(*vs) == 0
		},
	}
	s.sweeps = append(s.sweeps, func(n int) { inner.(sweeper[map[M]Stamped[V]]).sweep(n, grown) })
	return ttlMap[K, M, V]{inner, l}, nil
}

type ttlMap[K, M comparable, V any] struct {
	inner MapState[M, Stamped[V]]
	lifetime[K]
}

func (t ttlMap[K, M, V]) Get(m M) (value V, ok bool) {
	v, ok := t.inner.Get(m)
	if ok && t.over(v.At) {
		t.inner.Delete(m)
		return value, false
	}
	return v.Value, ok
}

func (t ttlMap[K, M, V]) Set(m M, value V) { t.inner.Set(m, stamp(t.lifetime, value)) }
func (t ttlMap[K, M, V]) Delete(m M)       { t.inner.Delete(m) }

func (t ttlMap[K, M, V]) All() iter.Seq2[M, V] {
	return func(yield func(M, V) bool) {
		for m, v := range t.inner.All() {
			if !t.over(v.At) && !yield(m, v.Value) {
				return
			}
		}
	}
}

func (t ttlMap[K, M, V]) Len() (n int) {
	for range t.All() {
		n++
	}
	return n
}

func (t ttlMap[K, M, V]) Clear() { t.inner.Clear() }
