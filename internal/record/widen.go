package record

import (
	"encoding/binary"
	"math"
	"reflect"
	"unsafe"
)

// number says what values a kind of number has.
type number struct {
	width int  // bytes, encoded
	sign  rune // 'i', 'u', 'f', or 'c' for complex
}

// numberKinds holds each kind of number by its name in schemas.
var numberKinds = map[string]number{
	"int8": {1, 'i'}, "int16": {2, 'i'}, "int32": {4, 'i'}, "int64": {8, 'i'}, "int": {8, 'i'},
	"uint8": {1, 'u'}, "uint16": {2, 'u'}, "uint32": {4, 'u'}, "uint64": {8, 'u'}, "uint": {8, 'u'},
	"float32": {4, 'f'}, "float64": {8, 'f'}, "complex64": {8, 'c'}, "complex128": {16, 'c'},
}

// widens reports whether every number of kind from is one of kind to: of its own, of a wider one,
// and, if it is an integer of up to 32 bits, of float64.
func widens(from, to string) bool {
	f, ok := numberKinds[from]
	t, ok2 := numberKinds[to]
	switch {
	case !ok || !ok2:
		return false
	case f.sign == 'c' || t.sign == 'c':
		return from == to
	case f.sign == t.sign:
		return f.width <= t.width
	case f.sign == 'u' && t.sign == 'i':
		return f.width < t.width
	}
	return t == number{8, 'f'} && f.width < 8
}

// sameWord reports whether numbers of both kinds are encoded alike: as int and int64 are.
func sameWord(a, b string) bool {
	n, ok := numberKinds[a]
	return ok && n == numberKinds[b]
}

// fillWidened decodes numbers of another kind, which t widens.
func fillWidened(p *program, from string, t reflect.Kind) {
	w := numberKinds[from]
	if t == reflect.Float64 {
		p.decode = func(d *decoder, at unsafe.Pointer) bool {
			b := d.take(w.width)
			if b != nil {
				*(*float64)(at) = w.float(b)
			}
			return b != nil
		}
		return
	}
	size, signed := int(p.size), numberKinds[t.String()].sign == 'i'
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		b := d.take(w.width)
		if b == nil {
			return false
		}
		v := w.word(b)
		storeWord(at, v, size)
		return fits(v, size, signed) || d.fail(errValue)
	}
}

// word is an integer in two's complement.
func (n number) word(b []byte) uint64 {
	var v uint64
	switch n.width {
	case 1:
		v = uint64(b[0])
	case 2:
		v = uint64(binary.LittleEndian.Uint16(b))
	case 4:
		v = uint64(binary.LittleEndian.Uint32(b))
	default:
		v = binary.LittleEndian.Uint64(b)
	}
	if n.sign == 'i' {
		unused := 64 - 8*n.width
		v = uint64(int64(v) << unused >> unused)
	}
	return v
}

// float is a number as a float64, which has it exactly.
func (n number) float(b []byte) float64 {
	switch n.sign {
	case 'f':
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case 'i':
		return float64(int64(n.word(b)))
	}
	return float64(n.word(b))
}

func storeWord(at unsafe.Pointer, v uint64, size int) {
	switch size {
	case 1:
		*(*uint8)(at) = uint8(v)
	case 2:
		*(*uint16)(at) = uint16(v)
	case 4:
		*(*uint32)(at) = uint32(v)
	default:
		*(*uint64)(at) = v
	}
}

// fits reports whether size bytes hold v. They do, unless it came from a machine with wider integers.
func fits(v uint64, size int, signed bool) bool {
	unused := 64 - 8*size
	if signed {
		return int64(v)<<unused>>unused == int64(v)
	}
	return v<<unused>>unused == v
}
