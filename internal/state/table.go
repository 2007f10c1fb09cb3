package state

import (
	"hash/maphash"
	"iter"
	"reflect"
	"unsafe"
)

// TableHash returns the hash to find keys of type K by, given the one by which they are sent.
// That one must be the same in every process; a table's own need not, and for strings the
// runtime's takes half the time.
func TableHash[K comparable](sentBy func(K) uint64) func(K) uint64 {
	if reflect.TypeFor[K]().Kind() != reflect.String {
		return sentBy
	}
	seed := maphash.MakeSeed()
	return func(k K) uint64 { return maphash.String(seed, *(*string)(unsafe.Pointer(&k))) }
}

// Table maps keys to values, for one goroutine. Entries lie in chunks that never move, so
// growing copies no entry; an index of fixed-size cells with open addressing finds them.
//
// A cell holds a slot number and 32 bits of the key's hash. The place of a cell is derived from
// those same 32 bits, so the index doubles, and closes the gap of a cell that is removed, without
// looking at any key. They are the high bits: if the hash is the one by which records were sent here,
// its low ones chose the key group, and within one subtask they are alike.
type Table[K comparable, V any] struct {
	cells  []uint64 // hash bits << 32 | slot + 1; 0 is free; a power of two
	shift  uint     // 32 - log2(len(cells))
	chunks [][]Entry[K, V]
	n      int     // slots in use, or that were
	free   []int32 // slots whose entry was removed
	alive  []bits  // by chunk: slots that have an entry; nil: all have
	sharing[V]
}

// Entry is a key and what belongs to it.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

const (
	chunkBits = 10 // entries per chunk, as a power of two
	chunkSize = 1 << chunkBits
	firstBits = 10 // cells at first
)

// NewTable returns an empty table. Clone copies what a value refers to; nil: nothing.
func NewTable[K comparable, V any](clone func(V) V) *Table[K, V] {
	t := &Table[K, V]{cells: make([]uint64, 1<<firstBits), shift: 32 - firstBits}
	t.clone = clone
	return t
}

// Len returns the number of entries.
func (t *Table[K, V]) Len() int { return t.n - len(t.free) }

// at returns the entry in slot.
func (t *Table[K, V]) at(slot int) *Entry[K, V] {
	return &t.chunks[slot>>chunkBits][slot&(chunkSize-1)]
}

// Find returns the entry of key, whose value the caller may change until the next snapshot, or nil.
func (t *Table[K, V]) Find(hash uint64, key K) *Entry[K, V] {
	bits := hash >> 32
	mask := uint64(len(t.cells) - 1)
	for i := bits >> t.shift; ; i = (i + 1) & mask {
		c := t.cells[i]
		if c == 0 {
			return nil
		}
		if c>>32 != bits {
			continue
		}
		if e := t.at(int(uint32(c)) - 1); e.Key == key {
			if t.shared != nil {
				e = t.own(int(uint32(c)) - 1)
			}
			return e
		}
	}
}

// Insert adds an entry for a key that Find did not find. The table keeps key: the caller
// clones what shares memory with a batch.
func (t *Table[K, V]) Insert(hash uint64, key K) *Entry[K, V] {
	if (t.n+1)*3 > len(t.cells)*2 {
		t.grow()
	}
	slot := t.slot()
	e := t.at(slot)
	e.Key = key
	t.place(hash>>32<<32 | uint64(slot+1))
	return e
}

// slot returns one that is free.
func (t *Table[K, V]) slot() int {
	if last := len(t.free) - 1; last >= 0 {
		slot := int(t.free[last])
		t.free = t.free[:last]
		t.alive[slot>>chunkBits].set(slot & (chunkSize - 1))
		if t.shared != nil {
			t.own(slot)
		}
		return slot
	}
	if t.n == len(t.chunks)<<chunkBits {
		t.chunks = append(t.chunks, make([]Entry[K, V], chunkSize))
		if t.alive != nil {
			t.alive = append(t.alive, allBits())
		}
	}
	t.n++
	return t.n - 1
}

// Remove removes the entry of key, if there is one.
func (t *Table[K, V]) Remove(hash uint64, key K) {
	bits := hash >> 32
	mask := uint64(len(t.cells) - 1)
	for i := bits >> t.shift; t.cells[i] != 0; i = (i + 1) & mask {
		slot := int(uint32(t.cells[i])) - 1
		if t.cells[i]>>32 == bits && t.at(slot).Key == key {
			t.close(i)
			t.vacate(slot)
			return
		}
	}
}

// vacate lets go of what an entry held.
func (t *Table[K, V]) vacate(slot int) {
	if t.shared != nil {
		t.own(slot)
	}
	*t.at(slot) = Entry[K, V]{}
	t.free = append(t.free, int32(slot))
	if t.alive == nil {
		t.alive = make([]bits, len(t.chunks))
		for i := range t.alive {
			t.alive[i] = allBits()
		}
	}
	t.alive[slot>>chunkBits].unset(slot & (chunkSize - 1))
}

// close frees cell i, and moves those behind it that are found through it.
func (t *Table[K, V]) close(i uint64) {
	mask := uint64(len(t.cells) - 1)
	for j := (i + 1) & mask; t.cells[j] != 0; j = (j + 1) & mask {
		home := t.cells[j] >> 32 >> t.shift
		if (j-home)&mask >= (j-i)&mask { // it is looked for at i too
			t.cells[i] = t.cells[j]
			i = j
		}
	}
	t.cells[i] = 0
}

func (t *Table[K, V]) place(cell uint64) {
	mask := uint64(len(t.cells) - 1)
	i := cell >> 32 >> t.shift
	for t.cells[i] != 0 {
		i = (i + 1) & mask
	}
	t.cells[i] = cell
}

func (t *Table[K, V]) grow() {
	old := t.cells
	t.cells = make([]uint64, 2*len(old))
	t.shift--
	for _, c := range old {
		if c != 0 {
			t.place(c)
		}
	}
}

// Clear removes all entries, and keeps the memory for others. No snapshot may have been taken of the table.
func (t *Table[K, V]) Clear() {
	clear(t.cells)
	for i := 0; i<<chunkBits < t.n; i++ {
		clear(t.chunks[i])
	}
	t.n, t.free, t.alive = 0, nil, nil
}

// All returns the entries in the order of their slots: that in which their keys were first seen,
// while none was removed. Their values may be changed; entries are not added or removed meanwhile.
func (t *Table[K, V]) All() iter.Seq[*Entry[K, V]] {
	return func(yield func(*Entry[K, V]) bool) {
		for slot := range t.n {
			if e := t.alone(slot); e != nil && !yield(e) {
				return
			}
		}
	}
}

// peek returns the entry in slot, which is not to be changed, or nil if there is none.
func (t *Table[K, V]) peek(slot int) *Entry[K, V] {
	if t.alive != nil && !t.alive[slot>>chunkBits].has(slot&(chunkSize-1)) {
		return nil
	}
	return t.at(slot)
}

// alone returns the entry in slot, which no snapshot shares, or nil if there is none.
func (t *Table[K, V]) alone(slot int) *Entry[K, V] {
	if e := t.peek(slot); e == nil || t.shared == nil {
		return e
	}
	return t.own(slot)
}
