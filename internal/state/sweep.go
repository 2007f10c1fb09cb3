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

// next has look see the next entries.
func (b *backed[K]) next(w *sweeping, entries int, look func(value []byte) (after []byte, what fate)) {
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

// fate is what becomes of an entry that was looked at.
type fate int

const (
	stays   fate = iota
	goes         // it is removed
	changes      // it is set to another value
)

// begin is what the backend's keys of the state begin with that are of the group.
func (b *backed[K]) begin(group int) []byte {
	return append(append(binary.BigEndian.AppendUint16(nil, uint16(group)), b.is.Name...), 0)
}

// sweepGroup does so within one group, and returns how many entries are left to look at.
func (b *backed[K]) sweepGroup(w *sweeping, entries int, look func(value []byte) (after []byte, what fate)) int {
	begin := b.begin(w.group)
	from := begin
	if w.from != nil {
		from = w.from
	}
	var changed [][2][]byte // a nil value: it goes
	b.must(b.store.backend.Scan(from, after(begin), func(key, value []byte) bool {
		if entries == 0 {
			w.from = slices.Clone(key)
			entries--
			return false
		}
		entries--
		if value, what := look(value); what != stays {
			changed = append(changed, [2][]byte{slices.Clone(key), value})
		}
		return true
	}))
	for _, c := range changed {
		if c[1] == nil {
			b.delete(c[0])
		} else {
			b.set(c[0], c[1])
		}
	}
	return entries
}

func (v *backedValue[K, V]) sweep(entries int, grown aging[V]) {
	v.next(&v.sweeping, entries, func(b []byte) ([]byte, fate) {
		value, err := v.coder.decode(b)
		v.must(err)
		if grown.stale(&value) {
			return nil, goes
		}
		return nil, stays
	})
}

func (l *backedList[K, V]) sweep(entries int, grown aging[[]V]) {
	l.next(&l.sweeping, entries, func(b []byte) ([]byte, fate) {
		values, err := readList(b, l.coder.codec)
		l.must(err)
		switch {
		case !grown.stale(&values):
			return nil, stays
		case grown.trim(&values):
			return nil, goes
		}
		return appendList(nil, l.coder.codec, values), changes
	})
}

// sweep looks at each value of a map by itself.
func (t *backedMap[K, M, V]) sweep(entries int, grown aging[map[M]V]) {
	var none M
	t.next(&t.sweeping, entries, func(b []byte) ([]byte, fate) {
		value, err := t.coder.decode(b)
		t.must(err)
		one := map[M]V{none: value}
		if grown.stale(&one) {
			return nil, goes
		}
		return nil, stays
	})
}
