package disk

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// rows are entries that were read or written lately, as they are: a read that finds its entry here asks neither the
// memtables nor the files, of which a checkpoint each second makes more. Every write goes to the tree as well, so
// that nothing here is missed when it is dropped, and a checkpoint knows nothing of it.
//
// A key belongs into one bucket, by its hash. A bucket is its entries one behind the other, oldest first: what no
// longer fits pushes out the oldest.
//
// Rejected: to write to the tree at the barrier only. Where keys come back seldom the record path would then stand
// still for as long as all of them take to be written.
type rows struct {
	memory  []byte // outside of the heap, whose collector would let as much garbage grow beside it
	buckets uint64
	seed    maphash.Seed
}

const (
	bucketSize = 512
	usedSize   = 2 // of what tells at the beginning of a bucket how many of its bytes are used
	headSize   = 3 // of an entry: the lengths of key and value, and a byte of the hash
	rowMost    = bucketSize / 4
)

func newRows(size int64) (*rows, error) {
	buckets := max(size/bucketSize, 1)
	memory, err := allocate(int(buckets * bucketSize))
	if err != nil {
		return nil, err
	}
	return &rows{memory: memory, buckets: uint64(buckets), seed: maphash.MakeSeed()}, nil
}

func (r *rows) close() error {
	memory := r.memory
	r.memory = nil
	return free(memory)
}

// bucket is one bucket while one key is looked at.
type bucket struct {
	all []byte
	tag byte // of the key
}

func (r *rows) bucket(key []byte) bucket {
	hash := maphash.Bytes(r.seed, key)
	i, _ := bits.Mul64(hash, r.buckets)
	return bucket{r.memory[i*bucketSize:][:bucketSize], byte(hash)}
}

func (b bucket) used() int {
	return max(int(binary.LittleEndian.Uint16(b.all)), usedSize) // memory is zero at first
}

func (b bucket) setUsed(n int) { binary.LittleEndian.PutUint16(b.all, uint16(n)) }

func (b bucket) sizeAt(at int) int { return headSize + int(b.all[at]) + int(b.all[at+1]) }

// find returns where the entry of the key begins.
func (b bucket) find(key []byte) (at int, ok bool) {
	used := b.used()
	for at = usedSize; at < used; at += b.sizeAt(at) {
		if b.all[at+2] == b.tag && int(b.all[at]) == len(key) && bytes.Equal(b.all[at+headSize:][:len(key)], key) {
			return at, true
		}
	}
	return 0, false
}

func (b bucket) value(at int) []byte {
	return b.all[at+headSize+int(b.all[at]) : at+b.sizeAt(at)]
}

// remove removes the entries from one place to another.
func (b bucket) remove(from, to int) {
	used := b.used()
	copy(b.all[from:], b.all[to:used])
	b.setUsed(used - (to - from))
}

// get returns the value, which is valid until the next call.
func (r *rows) get(key []byte) (value []byte, ok bool) {
	b := r.bucket(key)
	at, ok := b.find(key)
	if !ok {
		return nil, false
	}
	return b.value(at), true
}

// put notes the value of a key, if both are small. The value may be one that get returned.
func (r *rows) put(key, value []byte) {
	b := r.bucket(key)
	at, there := b.find(key)
	if there && len(b.value(at)) == len(value) {
		copy(b.value(at), value)
		return
	}
	size := headSize + len(key) + len(value)
	var scratch [rowMost]byte
	if size <= rowMost {
		value = append(scratch[:0], value...) // what follows moves entries
	}
	if there {
		b.remove(at, at+b.sizeAt(at))
	}
	if size <= rowMost {
		b.append(key, value)
	}
}

// append adds an entry behind the others, the oldest of which make room for it.
func (b bucket) append(key, value []byte) {
	size, first := headSize+len(key)+len(value), usedSize
	for b.used()-(first-usedSize)+size > bucketSize {
		first += b.sizeAt(first)
	}
	b.remove(usedSize, first)
	at := b.used()
	entry := append(b.all[at:at], byte(len(key)), byte(len(value)), b.tag)
	_ = append(append(entry, key...), value...)
	b.setUsed(at + size)
}

// drop forgets a key.
func (r *rows) drop(key []byte) {
	b := r.bucket(key)
	if at, ok := b.find(key); ok {
		b.remove(at, at+b.sizeAt(at))
	}
}
