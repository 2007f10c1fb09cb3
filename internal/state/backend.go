package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// Backend keeps the entries of one operator's states in one subtask, encoded. One goroutine uses it. Bytes that
// it is given are the caller's again when it returns; those that it returns are valid until the next call.
//
// A key begins with its key group, two bytes, big endian, so that what a subtask has is a range.
type Backend interface {
	Get(key []byte) (value []byte, found bool, err error)
	Set(key, value []byte) error
	// Append sets the value of key to what it was, or to nothing if there was none, followed by more.
	Append(key, more []byte) error
	Delete(key []byte) error
	// Scan calls each with the keys in [from, to), in order, and their values as they were when Scan was
	// called, until it returns false. The backend may be changed meanwhile.
	Scan(from, to []byte, each func(key, value []byte) bool) error
	// Snapshot returns all of it as it is now; the states are those of the store, of which it names each that
	// it has: an Empty one, as its pieces are of all of them together.
	Snapshot(states []job.StateType) ([]Snapshot, error)
	// Close ends the backend. What was not written by a snapshot may be lost.
	Close() error
}

// Opener opens backends.
type Opener interface {
	// Open returns the backend of one operator in one subtask, with those of the restored entries in it whose
	// key groups are the subtask's, if it was a backend of this kind that wrote them.
	Open(p Place) (Backend, error)
}

// Place is where a backend is: one operator in one subtask of one attempt.
type Place struct {
	Operator    string
	Subtask     int
	Parallelism int
	Groups      int // the key groups of the job; record.Owner tells which are the subtask's
	// Directory is one of the process, for what is not to outlive it; "": the system's for such things.
	Directory  string
	Checkpoint job.CheckpointID // that Restored is of; 0: none
	Restored   []Restored       // the pieces that have a Part
}

// Owned returns the first and the last of the key groups that are the subtask's: ok is false if none is.
func (p Place) Owned() (first, last int, ok bool) {
	for g := range p.Groups {
		if record.Owner(g, p.Groups, p.Parallelism) != p.Subtask {
			continue
		}
		if !ok {
			first, ok = g, true
		}
		last = g
	}
	return first, last, ok
}

// A key in a backend is its group, the name of the state and a zero byte, the length of the encoded key as a
// varint, the encoded key, and, of a map, the encoded second key.

// appendPrefix appends the key of the backend for the key that is set.
func (s *Store[K]) appendPrefix(dst []byte, name string) []byte {
	group := record.KeyGroup(s.keys.Sent(s.key), s.keys.Groups)
	dst = binary.BigEndian.AppendUint16(dst, uint16(group))
	dst = append(append(dst, name...), 0)
	s.one[0] = s.key
	s.encodedKey = s.keyCodec.Append(s.encodedKey[:0], s.one[:])
	encoded := s.encodedKey[countSize:]
	return append(binary.AppendUvarint(dst, uint64(len(encoded))), encoded...)
}

// decodeKey returns the key of what appendPrefix appends behind the name.
func (s *Store[K]) decodeKey(b []byte) (key K, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return key, fmt.Errorf("%w: %w", ErrMalformed, errCut)
	}
	frame := append(binary.LittleEndian.AppendUint32(nil, 1), b[n:n+int(length)]...)
	keys, err := s.keyCodec.Decode(frame, nil)
	if err != nil {
		return key, err
	}
	if len(keys) != 1 {
		return key, fmt.Errorf("%w: %d keys where one was expected", ErrMalformed, len(keys))
	}
	return keys[0], nil
}

// after returns the first key behind those that have the prefix.
func after(prefix []byte) []byte {
	next := slices.Clone(prefix)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil // unreachable: groups do not reach 65,535
}

// countSize is how many bytes say how many values a batch has: one, of what is encoded by itself.
const countSize = 4

// backed is what the states of a store with a backend have in common.
type backed[K comparable] struct {
	store *Store[K]
	is    job.StateType
	turn  uint64
	at    []byte // the backend's key of the key that is set
	sub   []byte // at, and a second key
	sweeping
}

func (b *backed[K]) describe() job.StateType    { return b.is }
func (b *backed[K]) snapshot() (Snapshot, bool) { return Snapshot{}, false }

func (b *backed[K]) key() []byte {
	if b.turn != b.store.turn {
		b.store.mustHaveKey(b.is.Name)
		b.turn, b.at = b.store.turn, b.store.appendPrefix(b.at[:0], b.is.Name)
	}
	return b.at
}

// must fails where the backend does.
func (b *backed[K]) must(err error) {
	if err != nil {
		b.store.fail(fmt.Errorf("state %q: %w", b.is.Name, err))
	}
}

func (b *backed[K]) get(key []byte) ([]byte, bool) {
	value, found, err := b.store.backend.Get(key)
	b.must(err)
	return value, found
}

func (b *backed[K]) set(key, value []byte) { b.must(b.store.backend.Set(key, value)) }
func (b *backed[K]) delete(key []byte)     { b.must(b.store.backend.Delete(key)) }

// coder encodes values one by one.
type coder[T any] struct {
	codec *record.Codec[T]
	one   [1]T
	buf   []byte
	frame []byte
}

func coderOf[T any]() (coder[T], error) {
	codec, err := record.CodecOf[T]()
	return coder[T]{codec: codec}, err
}

// encode returns a batch of v alone; it is valid until the next call.
func (c *coder[T]) encode(v T) []byte {
	c.one[0] = v
	c.buf = c.codec.Append(c.buf[:0], c.one[:])
	return c.buf
}

// bare is encode without the number of values.
func (c *coder[T]) bare(v T) []byte { return c.encode(v)[countSize:] }

// decode returns the value of a batch of one, in memory of its own.
func (c *coder[T]) decode(batch []byte) (v T, err error) {
	values, err := c.codec.Decode(batch, c.one[:0])
	if err == nil && len(values) != 1 {
		err = fmt.Errorf("%w: %d values where one was expected", ErrMalformed, len(values))
	}
	if err != nil {
		return v, err
	}
	return values[0], nil
}

// decodeBare is decode of what bare returned.
func (c *coder[T]) decodeBare(b []byte) (T, error) {
	c.frame = append(binary.LittleEndian.AppendUint32(c.frame[:0], 1), b...)
	return c.decode(c.frame)
}

var errCut = errors.New("the list is cut off")

// appendList appends values to what a list state has in the backend: batches behind their lengths.
func appendList[V any](dst []byte, codec *record.Codec[V], values []V) []byte {
	batch := codec.Append(nil, values)
	return append(binary.AppendUvarint(dst, uint64(len(batch))), batch...)
}

// readList returns the values of a list state.
func readList[V any](b []byte, codec *record.Codec[V]) (all []V, err error) {
	for len(b) > 0 {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, errCut)
		}
		values, err := codec.Decode(b[n:n+int(length)], nil)
		if err != nil {
			return nil, err
		}
		all, b = append(all, values...), b[n+int(length):]
	}
	return all, nil
}
