package record

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"unsafe"
)

var (
	appenderType    = reflect.TypeFor[encoding.BinaryAppender]()
	marshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// bringsItsOwn reports whether t encodes and decodes itself. A struct that has the methods only
// because it embeds such a type does not: they would lose its other fields.
func bringsItsOwn(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || !ownMethods(t) {
		return false
	}
	if t.Kind() != reflect.Struct {
		return true
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && (ownMethods(f.Type) || f.Type.Kind() == reflect.Pointer && ownMethods(f.Type.Elem())) {
			return false
		}
	}
	return true
}

func ownMethods(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshalerType) && (p.Implements(appenderType) || p.Implements(marshalerType))
}

// fullName tells types of one name in two packages apart: nothing else is known of their encoding.
func fullName(t reflect.Type) string {
	if t.Name() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// fillOwn carries the type's own form behind its length, 4 bytes.
func fillOwn(p *program, t reflect.Type) {
	p.schema, p.least = "binary("+strconv.Quote(fullName(t))+")", 4
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		return appendOwn(dst, reflect.NewAt(t, at).Interface())
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		size := d.take(4)
		if size == nil {
			return false
		}
		n := int(binary.LittleEndian.Uint32(size))
		if n > len(d.rest) {
			return d.fail(errLength)
		}
		if err := decodeOwn(reflect.NewAt(t, at).Interface().(encoding.BinaryUnmarshaler), d.take(n)); err != nil {
			return d.fail(fmt.Errorf("decode %v: %w", t, err))
		}
		return true
	}
	p.clone = func(at unsafe.Pointer, _ int) {
		b := appendOwn(nil, reflect.NewAt(t, at).Interface())
		fresh := reflect.New(t)
		if err := decodeOwn(fresh.Interface().(encoding.BinaryUnmarshaler), b[4:]); err != nil {
			panic(encodeError{fmt.Errorf("copy %v: %w", t, err)})
		}
		reflect.NewAt(t, at).Elem().Set(fresh.Elem())
	}
}

func appendOwn(dst []byte, v any) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	var err error
	if a, ok := v.(encoding.BinaryAppender); ok {
		dst, err = a.AppendBinary(dst)
	} else {
		var b []byte
		b, err = v.(encoding.BinaryMarshaler).MarshalBinary()
		dst = append(dst, b...)
	}
	if err != nil {
		panic(encodeError{fmt.Errorf("encode %T: %w", v, err)})
	}
	size := len(dst) - at - 4
	if size < 0 || size > math.MaxInt32 {
		panic(encodeError{fmt.Errorf("encode %T: it takes %d bytes", v, size)})
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(size))
	return dst
}

// decodeOwn turns a panic on malformed bytes, in a decoder that is not ours, into an error.
func decodeOwn(v encoding.BinaryUnmarshaler, b []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return v.UnmarshalBinary(b)
}
