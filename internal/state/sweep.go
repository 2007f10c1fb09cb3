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

// next calls keep with the next entries, and removes those of which it says so.
func (b *backed[K]) next(w *sweeping, entries int, keep func(key, value []byte) bool) {
	keys := &b.store.keys
	for range keys.Groups { // at most once around
		if record.Owner(w.group, keys.Groups, keys.Parallelism) == keys.Subtask {
			if entries = b.sweepGroup(w, entries, keep); entries <= 0 {
				return
			}
		}
		w.group, w.from = (w.group+1)%keys.Groups, nil
	}
}

// begin is what the backend's keys of the state begin with that are of the group.
func (b *backed[K]) begin(group int) []byte {
	return append(append(binary.BigEndian.AppendUint16(nil, uint16(group)), b.is.Name...), 0)
}

// sweepGroup does so within one group, and returns how many entries are left to look at.
func (b *backed[K]) sweepGroup(w *sweeping, entries int, keep func(key, value []byte) bool) int {
	begin := b.begin(w.group)
	from := begin
	if w.from != nil {
		from = w.from
	}
	var dead [][]byte
	b.must(b.store.backend.Scan(from, after(begin), func(key, value []byte) bool {
		if entries == 0 {
			w.from = slices.Clone(key)
			entries--
			return false
		}
		entries--
		if !keep(key, value) {
			dead = append(dead, slices.Clone(key))
		}
		return true
	}))
	for _, key := range dead {
		b.delete(key)
	}
	return entries
}

func (v *backedValue[K, V]) sweep(entries int, keep func(*V) bool) {
	v.next(&v.sweeping, entries, func(_, b []byte) bool {
		value, err := v.coder.decode(b)
		v.must(err)
		return keep(&value)
	})
}

func (l *backedList[K, V]) sweep(entries int, keep func(*[]V) bool) {
	l.next(&l.sweeping, entries, func(_, b []byte) bool {
		values, err := readList(b, l.coder.codec)
		l.must(err)
		return keep(&values)
	})
}

// sweep looks at each value of a map by itself.
func (t *backedMap[K, M, V]) sweep(entries int, keep func(*map[M]V) bool) {
	var none M
	t.next(&t.sweeping, entries, func(_, b []byte) bool {
		value, err := t.coder.decode(b)
		t.must(err)
		one := map[M]V{none: value}
		return keep(&one)
	})
}
