package file

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unsafe"
)

// appendFunc appends the text of the value at p. It is compiled for one type, and keeps
// nothing of what p leads to.
type appendFunc func(dst []byte, p unsafe.Pointer) ([]byte, error)

// at returns f for a field at offset in the value that p points to.
func (f appendFunc) at(offset uintptr) appendFunc {
	if offset == 0 {
		return f
	}
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return f(dst, unsafe.Add(p, offset)) }
}

// appendNumber returns the encoder of a number or bool, whose text is the same in CSV
// and JSON; nil for other kinds, and for floats, of which JSON has no infinite ones.
func appendNumber(kind reflect.Kind) appendFunc {
	switch kind {
	case reflect.Bool:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return strconv.AppendBool(dst, *(*bool)(p)), nil }
	case reflect.Int:
		return appendInt[int]
	case reflect.Int8:
		return appendInt[int8]
	case reflect.Int16:
		return appendInt[int16]
	case reflect.Int32:
		return appendInt[int32]
	case reflect.Int64:
		return appendInt[int64]
	case reflect.Uint:
		return appendUint[uint]
	case reflect.Uint8:
		return appendUint[uint8]
	case reflect.Uint16:
		return appendUint[uint16]
	case reflect.Uint32:
		return appendUint[uint32]
	case reflect.Uint64:
		return appendUint[uint64]
	}
	return nil
}

func appendInt[N int | int8 | int16 | int32 | int64](dst []byte, p unsafe.Pointer) ([]byte, error) {
	return strconv.AppendInt(dst, int64(*(*N)(p)), 10), nil
}

func appendUint[N uint | uint8 | uint16 | uint32 | uint64](dst []byte, p unsafe.Pointer) ([]byte, error) {
	return strconv.AppendUint(dst, uint64(*(*N)(p)), 10), nil
}

// appendFloat writes f as JavaScript does: the shortest text that reads back as f, with an
// exponent for very large and very small numbers only.
func appendFloat(dst []byte, f float64, bits int) []byte {
	least := 1e-6
	if bits == 32 {
		least = float64(float32(least)) // which is less
	}
	if a := math.Abs(f); a == 0 || a >= least && a < 1e21 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' { // e-09 to e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

var (
	timeType          = reflect.TypeFor[time.Time]()
	durationType      = reflect.TypeFor[time.Duration]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

// implements reports whether t, or a pointer to it, has the methods of i.
func implements(t, i reflect.Type) bool {
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

// typeError says which type, in which field of a record, a format cannot carry.
func typeError(format, path string, t reflect.Type, why string) error {
	if path == "" {
		return fmt.Errorf("records of type %v cannot be written as %s: %s", t, format, why)
	}
	return fmt.Errorf("field %s of type %v cannot be written as %s: %s", path, t, format, why)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
