package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// ErrMalformed says that bytes are no batch of the type that a Codec decodes.
var ErrMalformed = errors.New("malformed batch")

// mostEmpty bounds the records of a batch whose type takes no bytes at all.
const mostEmpty = 1 << 20

// programs holds what was compiled: reflect.Type -> *program. Types are finite, so it is never emptied.
var programs sync.Map

// Codec carries records of type T across a process border. It is immutable and may be used
// by several goroutines.
//
// An encoded batch is the number of records (4 bytes) and then the records, each its fields
// in order: numbers in little endian and of their full width (int, uint: 8 bytes), strings,
// slices and maps behind their length as a varint (slices and maps plus one, nil being 0), a pointer behind
// one byte that says whether it is nil, a time.Time as seconds, nanoseconds and zone offset
// (see appendTime). A type that has AppendBinary or MarshalBinary, and UnmarshalBinary, is
// carried in the form it gives itself. Blank fields are skipped.
//
// All other fields travel, exported or not: a record is a value, and arrives as Go's own
// assignment would copy it. Two pointers to one thing arrive as two things.
type Codec[T any] struct {
	Decoder[T]
}

// Decoder decodes batches that a Codec has encoded, of the same type or of another (see
// Codec.From). It is immutable and may be used by several goroutines.
type Decoder[T any] struct {
	program *program
}

// CodecOf compiles the codec of T, once per type. The error names the field that cannot be
// carried (a channel, function, interface …) and says what to do.
func CodecOf[T any]() (*Codec[T], error) {
	p, err := compiled(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return &Codec[T]{Decoder[T]{p}}, nil
}

func compiled(t reflect.Type) (*program, error) {
	if p, ok := programs.Load(t); ok {
		return p.(*program), nil
	}
	p, err := compile(t)
	if err != nil {
		return nil, err
	}
	programs.Store(t, p)
	return p, nil
}

// Append appends the encoded batch to dst. It panics where AppendUpTo returns an error.
func (c *Codec[T]) Append(dst []byte, records []T) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(records)))
	return c.appendRecords(dst, records)
}

// AppendUpTo appends a batch of the first n records to dst: all of them, or as many as it
// takes to reach limit bytes, at least one. It fails when a record's own encoder does, or when a
// record points to itself.
func (c *Codec[T]) AppendUpTo(dst []byte, records []T, limit int) (out []byte, n int, err error) {
	at := len(dst)
	out = binary.LittleEndian.AppendUint32(dst, 0)
	if size := c.program.size; c.program.plain && size > 0 {
		n = min(len(records), max(1, limit/int(size)))
		out = c.appendRecords(out, records[:n])
	} else {
		out, n, err = c.appendSlowly(out, records, at+limit)
	}
	binary.LittleEndian.PutUint32(out[at:], uint32(n))
	return out, n, err
}

func (c *Codec[T]) appendRecords(dst []byte, records []T) []byte {
	if c.program.plain {
		return append(dst, memory(records)...)
	}
	encode := c.program.append
	for i := range records {
		dst = encode(dst, unsafe.Pointer(&records[i]), 0)
	}
	return dst
}

func (c *Codec[T]) appendSlowly(dst []byte, records []T, end int) (out []byte, n int, err error) {
	out = dst
	defer func() {
		if r := recover(); r != nil {
			failure, ok := r.(encodeError)
			if !ok {
				panic(r)
			}
			err = failure
		}
	}()
	encode := c.program.append
	for n < len(records) && (n == 0 || len(out) < end) && n < mostEmpty {
		out = encode(out, unsafe.Pointer(&records[n]), 0)
		n++
	}
	return out, n, nil
}

// Decode reads a whole batch and returns its records in dst's memory as far as that
// reaches; what dst held is overwritten. Strings and byte slices in the records share one copy of the
// frame, not the frame itself. Errors are ErrMalformed, or that of a type's own decoder.
func (d *Decoder[T]) Decode(frame []byte, dst []T) ([]T, error) {
	p := d.program
	if len(frame) < 4 {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(frame))
	}
	n, body := int(binary.LittleEndian.Uint32(frame)), frame[4:]
	if n > most(p.least, len(body)) {
		return nil, fmt.Errorf("%w: %d records in %d bytes", ErrMalformed, n, len(body))
	}
	if cap(dst) < n {
		dst = make([]T, room(n, p.size, p.least))
	}
	dst = dst[:min(n, cap(dst))]
	if p.plain {
		if len(body) != n*int(p.size) {
			return nil, fmt.Errorf("%w: %d records of %d bytes in %d bytes", ErrMalformed, n, p.size, len(body))
		}
		copy(memory(dst), body)
		return dst, nil
	}
	return d.decodeRecords(body, dst, n)
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func (d *Decoder[T]) decodeRecords(body []byte, dst []T, n int) ([]T, error) {
	from := decoders.Get().(*decoder)
	defer func() {
		*from = decoder{}
		decoders.Put(from)
	}()
	from.rest, from.frame = body, body
	clear(dst)
	decode := d.program.decode
	for i := range n {
		if i == len(dst) {
			dst = append(dst, make([]T, min(n, 2*i)-i)...)
		}
		if !decode(from, unsafe.Pointer(&dst[i])) {
			return nil, fmt.Errorf("%w: record %d: %w", ErrMalformed, i, from.reason())
		}
	}
	if len(from.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last record", ErrMalformed, len(from.rest))
	}
	return dst, nil
}

// Schema is a canonical text of T's shape: the names and kinds of its fields, in order,
// whatever the types are called; see shape for its grammar. Batches of two types with one schema have the
// same encoding.
func (c *Codec[T]) Schema() string { return c.program.schema }

// HasPointers reports whether records of T refer to other memory.
func (c *Codec[T]) HasPointers() bool { return c.program.clone != nil }

// Clone returns a copy of v that shares no memory with it: for what is kept beyond the life
// of a batch, such as keys of state, which otherwise would keep a whole frame from being freed.
func (c *Codec[T]) Clone(v T) T {
	if c.program.clone == nil {
		return v
	}
	if c.program.isString {
		s := strings.Clone(*(*string)(unsafe.Pointer(&v)))
		return *(*T)(unsafe.Pointer(&s))
	}
	return c.cloneDeeply(v)
}

func (c *Codec[T]) cloneDeeply(v T) T {
	c.program.clone(unsafe.Pointer(&v), 0)
	return v
}

// memory is the bytes that records occupy.
func memory[T any](records []T) []byte {
	if len(records) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&records[0])), len(records)*int(unsafe.Sizeof(records[0])))
}
