package operator

import (
	"hash/maphash"
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

// table maps keys to accumulators, for one goroutine. Entries lie in chunks that never move, so
// growing copies no entry; an index of fixed-size cells with open addressing finds them.
//
// A cell holds a slot number and 32 bits of the key's hash. The place of a cell is derived from
// those same 32 bits, so the index doubles without looking at any key. They are the high bits:
// if the hash is the one by which records were sent here, its low ones chose the key group, and
// within one subtask they are alike.
type table[K comparable, A any] struct {
	cells  []uint64 // hash bits << 32 | slot + 1; 0 is free; a power of two
	shift  uint     // 32 - log2(len(cells))
	chunks [][]entry[K, A]
	n      int // entries
	sharing[A]
}

type entry[K comparable, A any] struct {
	key K
	acc A
}

const (
	chunkBits = 10 // entries per chunk, as a power of two
	chunkSize = 1 << chunkBits
	firstBits = 10 // cells at first
)

// newTable returns an empty table. Clone copies what an accumulator refers to; nil: nothing.
func newTable[K comparable, A any](clone func(A) A) *table[K, A] {
	t := &table[K, A]{cells: make([]uint64, 1<<firstBits), shift: 32 - firstBits}
	t.clone = clone
	return t
}

// at returns the entry in slot.
func (t *table[K, A]) at(slot int) *entry[K, A] {
	return &t.chunks[slot>>chunkBits][slot&(chunkSize-1)]
}

// find returns the entry of key, which the caller may change, or nil.
func (t *table[K, A]) find(hash uint64, key K) *entry[K, A] {
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
		if e := t.at(int(uint32(c)) - 1); e.key == key {
			if t.shared != nil {
				e = t.own(int(uint32(c)) - 1)
			}
			return e
		}
	}
}

// insert adds an entry for a key that find did not find. The table keeps key: the caller
// clones what shares memory with a batch.
func (t *table[K, A]) insert(hash uint64, key K) *entry[K, A] {
	if (t.n+1)*3 > len(t.cells)*2 {
		t.grow()
	}
	if t.n == len(t.chunks)<<chunkBits {
		t.chunks = append(t.chunks, make([]entry[K, A], chunkSize))
	}
	e := t.at(t.n)
	e.key = key
	t.n++
	t.place(hash>>32<<32 | uint64(t.n))
	return e
}

func (t *table[K, A]) place(cell uint64) {
	mask := uint64(len(t.cells) - 1)
	i := cell >> 32 >> t.shift
	for t.cells[i] != 0 {
		i = (i + 1) & mask
	}
	t.cells[i] = cell
}

func (t *table[K, A]) grow() {
	old := t.cells
	t.cells = make([]uint64, 2*len(old))
	t.shift--
	for _, c := range old {
		if c != 0 {
			t.place(c)
		}
	}
}
