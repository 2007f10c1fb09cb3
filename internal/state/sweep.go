package state

import (
	"encoding/binary"
	"slices"

	"github.com/perennial-io/perennial/internal/record"
)

// sweeping walks through what a backend has of one state, some entries at a time.
type sweeping struct {
	group int
	from  []byte // within the group; nil: its beginning
}

// next has look see the next entries: whether one stays as it is, and if not what it becomes, nil: nothing.
func (b *backed[K]) next(w *sweeping, entries int, look func(value []byte) (next []byte, stays bool)) {
	keys := &b.store.keys
	for range keys.Groups { // at most once around
		if record.Owner(w.group, keys.Groups, keys.Parallelism) == keys.Subtask {
			if entries = b.sweepGroup(w, entries, look); entries < 0 {
				return // there is more in it
			}
			entries-- // a group without entries costs a look too
		}
		if w.group, w.from = (w.group+1)%keys.Groups, nil; entries <= 0 {
			return
		}
	}
}

// each has look see all that the backend has of the state, by key group, until it returns false. It may be changed meanwhile.
func (b *backed[K]) each(look func(key, value []byte) bool) {
	keys, more := &b.store.keys, true
	for group := range keys.Groups {
		if !more || record.Owner(group, keys.Groups, keys.Parallelism) != keys.Subtask {
			continue
		}
		begin := b.begin(group)
		b.must(b.store.backend.Scan(begin, after(begin), func(key, value []byte) bool {
			more = look(key, value)
			return more
		}))
	}
}

// begin is what the backend's keys of the state begin with that are of the group.
func (b *backed[K]) begin(group int) []byte {
	return append(append(binary.BigEndian.AppendUint16(nil, uint16(group)), b.is.Name...), 0)
}

// sweepGroup does so within one group, and returns how many entries are left to look at.
func (b *backed[K]) sweepGroup(w *sweeping, entries int, look func(value []byte) (next []byte, stays bool)) int {
	begin := b.begin(w.group)
	from := begin
	if w.from != nil {
		from = w.from
	}
	b.must(b.store.backend.Scan(from, after(begin), func(key, value []byte) bool {
		if entries == 0 {
			w.from = slices.Clone(key)
			entries--
			return false
		}
		entries--
		switch next, stays := look(value); {
		case stays:
		case next == nil:
			b.delete(slices.Clone(key))
		default:
			b.set(slices.Clone(key), next)
		}
		return true
	}))
	return entries
}

func (v *backedValue[K, V]) sweep(entries int, grown aging[V]) {
	v.next(&v.sweeping, entries, func(b []byte) (next []byte, stays bool) {
		value, err := v.coder.decode(b)
		v.must(err)
		return nil, !grown.stale(&value)
	})
}

func (l *backedList[K, V]) sweep(entries int, grown aging[[]V]) {
	l.next(&l.sweeping, entries, func(b []byte) (next []byte, stays bool) {
		values, err := readList(b, l.coder.codec)
		l.must(err)
		switch {
		case !grown.stale(&values):
			return nil, true
		case grown.trim(&values):
			return nil, false
		}
		return appendList(nil, l.coder.codec, values), false
	})
}

// sweep looks at each value of a map by itself.
func (t *backedMap[K, M, V]) sweep(entries int, grown aging[map[M]V]) {
	var none M
	t.next(&t.sweeping, entries, func(b []byte) (next []byte, stays bool) {
		value, err := t.coder.decode(b)
		t.must(err)
		one := map[M]V{none: value}
		return nil, !grown.stale(&one)
	})
}
