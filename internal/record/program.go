package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// deepest bounds how far values of a recursive type may nest: a stack is finite, and a value that
// points to itself would never end.
const deepest = 10_000

// program is a type's codec in compiled form: closures over memory at an address.
//
// Invariant: when plain is set, the encoding is the value's memory, so that size, width of
// the encoding and least are one number.
type program struct {
	size     uintptr // in memory
	least    int     // no value takes fewer bytes encoded
	plain    bool
	isString bool
	schema   string

	append func(dst []byte, p unsafe.Pointer, depth int) []byte
	decode func(d *decoder, p unsafe.Pointer) bool // p is zeroed memory; false: see d
	clone  func(p unsafe.Pointer, depth int)       // replaces what the value at p refers to by copies; nil: it refers to nothing
}

// encodeError is what Append panics with.
type encodeError struct{ error }

func (e encodeError) Unwrap() error { return e.error }

// decoder is where decoding of a frame stands.
type decoder struct {
	rest  []byte // not yet decoded
	frame []byte
	text  []byte // a copy of frame, made when the first string asks for it
	depth int
	err   error
}

var (
	errShort  = errors.New("it ends early")
	errLength = errors.New("a length that is more than what is left")
	errDeep   = fmt.Errorf("nested more than %d deep", deepest)
	errValue  = errors.New("a value that its type does not have")
)

func (d *decoder) fail(err error) bool {
	d.err = err
	return false
}

func (d *decoder) reason() error {
	if d.err == nil {
		return errShort
	}
	return d.err
}

// take returns the next n bytes, or nil.
func (d *decoder) take(n int) []byte {
	if n > len(d.rest) {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// length reads a length of things that take at least least bytes each.
func (d *decoder) length(least int) (int, bool) {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return 0, d.fail(errShort)
	}
	d.rest = d.rest[n:]
	if v > uint64(most(least, len(d.rest))) {
		return 0, d.fail(errLength)
	}
	return int(v), true
}

// lengthOrNil reads the length of a slice or map, which is written plus one.
func (d *decoder) lengthOrNil(least int) (n int, isNil, ok bool) {
	v, w := binary.Uvarint(d.rest)
	if w <= 0 {
		return 0, false, d.fail(errShort)
	}
	d.rest = d.rest[w:]
	if v == 0 {
		return 0, true, true
	}
	if v-1 > uint64(most(least, len(d.rest))) {
		return 0, false, d.fail(errLength)
	}
	return int(v - 1), false, true
}

// shared returns the next n bytes in the frame's copy, which records may refer to.
func (d *decoder) shared(n int) []byte {
	if d.text == nil {
		d.text = append([]byte(nil), d.frame...)
	}
	at := len(d.frame) - len(d.rest)
	d.rest = d.rest[n:]
	return d.text[at : at+n : at+n]
}

// most is how many things of at least least bytes can be in n bytes.
func most(least, n int) int {
	if least == 0 {
		return mostEmpty
	}
	return n / least
}

// wasteful is how many bytes of memory a byte of a frame may stand for before anything behind it was
// decoded: one that has gained fields may stand for any number.
const wasteful = 32

// room is for how many of n announced things memory is taken at first.
func room(n int, size uintptr, least int) int {
	if int(size) > wasteful*least {
		return min(n, 64)
	}
	return n
}

// compiler compiles one type. Fields are shared by all types inside it.
type compiler struct {
	root reflect.Type
	keys bool     // for hashing: equal values get equal bytes, and identity (pointers) is refused
	path []string // of fields, to where the compiler is

	open   []pending   // types being compiled, outermost first
	inners []recursion // to be completed
}

type pending struct {
	t reflect.Type
	p *program
}

type recursion struct{ inner, target *program }

// compile compiles the program of t.
func compile(t reflect.Type) (*program, error) {
	c := &compiler{root: t}
	return c.whole(t)
}

func (c *compiler) whole(t reflect.Type) (*program, error) {
	p, err := c.compile(t)
	if err != nil {
		return nil, err
	}
	for _, r := range c.inners {
		r.inner.least = r.target.least
	}
	return p, nil
}

// compile compiles a type inside the root. A type inside itself becomes a call of the
// program that is not finished yet.
func (c *compiler) compile(t reflect.Type) (*program, error) {
	for i, o := range c.open {
		if o.t == t {
			inner := recursive(o.p, len(c.open)-i)
			c.inners = append(c.inners, recursion{inner, o.p})
			return inner, nil
		}
	}
	p := &program{size: t.Size()}
	c.open = append(c.open, pending{t, p})
	defer func() { c.open = c.open[:len(c.open)-1] }()
	if err := c.fill(p, t); err != nil {
		return nil, err
	}
	return p, nil
}

// recursive calls target once that is complete. It stands below a pointer, slice or map, which
// reads its least only when it runs.
func recursive(target *program, up int) *program {
	p := &program{size: target.size, schema: fmt.Sprintf("^%d", up)}
	p.append = func(dst []byte, at unsafe.Pointer, depth int) []byte {
		checkDepth(depth)
		return target.append(dst, at, depth+1)
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		if d.depth >= deepest {
			return d.fail(errDeep)
		}
		d.depth++
		ok := target.decode(d, at)
		d.depth--
		return ok
	}
	p.clone = func(at unsafe.Pointer, depth int) {
		checkDepth(depth)
		target.clone(at, depth+1)
	}
	return p
}

func checkDepth(depth int) {
	if depth >= deepest {
		panic(encodeError{fmt.Errorf("a record is nested more than %d deep: does it point to itself?", deepest)})
	}
}
