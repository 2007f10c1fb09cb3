package record

import (
	"reflect"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// HasherOf compiles the hash of keys of type K: xxh3 of the key's encoding, which for a
// string is its bytes alone. It is the same in every process, of any architecture, for the life of a job, and
// allocates nothing. Equal keys have equal hashes: -0 is hashed as 0, and all NaNs
// alike, though a NaN never equals itself and makes a poor key. So does a time.Time outside UTC, since Go
// compares its location too.
//
// A hasher is for one goroutine: it may keep a buffer. The error names what cannot be a key.
func HasherOf[K comparable]() (func(K) uint64, error) {
	t := reflect.TypeFor[K]()
	c := &compiler{root: t, keys: true}
	p, err := c.whole(t)
	if err != nil {
		return nil, err
	}
	if p.isString {
		return func(k K) uint64 { return xxh3.HashString(*(*string)(unsafe.Pointer(&k))) }, nil
	}
	if p.plain {
		return plainHasher[K](p.size), nil
	}
	key, buf := new(K), make([]byte, 0, 64)
	return func(k K) uint64 {
		*key = k
		buf = p.append(buf[:0], unsafe.Pointer(key), 0)
		return xxh3.Hash(buf)
	}, nil
}

func plainHasher[K comparable](size uintptr) func(K) uint64 {
	switch size {
	case 4:
		return func(k K) uint64 { return hash4(*(*uint32)(unsafe.Pointer(&k))) }
	case 8:
		return func(k K) uint64 { return hash8(*(*uint64)(unsafe.Pointer(&k))) }
	}
	return func(k K) uint64 { return xxh3.Hash(unsafe.Slice((*byte)(unsafe.Pointer(&k)), size)) }
}

// The constants of xxh3 for inputs of 4 to 8 bytes with seed 0.
const (
	flip4to8 = 0x1cad21f72c81017c ^ 0xdb979083e96dd4de // of the default secret, bytes 8 and 16
	prime    = 0x9fb21c651e98df25
)

// hash4 is xxh3 of v's 4 bytes in little endian.
func hash4(v uint32) uint64 {
	return mix(uint64(v)+uint64(v)<<32, 4)
}

// hash8 is xxh3 of v's 8 bytes in little endian.
func hash8(v uint64) uint64 {
	return mix(v>>32+v<<32, 8)
}

func mix(input, length uint64) uint64 {
	h := input ^ flip4to8
	h ^= (h<<49 | h>>15) ^ (h<<24 | h>>40)
	h *= prime
	h ^= h>>35 + length
	h *= prime
	return h ^ h>>28
}
