package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unsafe"
)

// nativeLittle says that this machine's numbers lie in memory as they do in the encoding.
var nativeLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// fill compiles t into p.
func (c *compiler) fill(p *program, t reflect.Type) error {
	switch {
	case t == timeType:
		fillTime(p)
		return nil
	case bringsItsOwn(t):
		fillOwn(p, t)
		return nil
	}
	if err := c.refuse(t); err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Bool:
		fillBool(p)
	case reflect.String:
		fillString(p)
	case reflect.Array:
		return c.fillArray(p, t)
	case reflect.Slice:
		return c.fillSlice(p, t)
	case reflect.Map:
		return c.fillMap(p, t)
	case reflect.Pointer:
		return c.fillPointer(p, t)
	case reflect.Struct:
		return c.fillStruct(p, t)
	default:
		c.fillNumber(p, t.Kind())
	}
	return nil
}

// refuse says why t cannot be carried.
func (c *compiler) refuse(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Uintptr:
		return c.refusal(t, "which means something in its own process only; leave it out of the record")
	case reflect.Interface:
		return c.refusal(t, "and a record's type must be known when the job is built; use a concrete type")
	}
	switch t.PkgPath() {
	case "sync", "sync/atomic", "unique", "weak":
		return c.refusal(t, "which must not be copied; leave it out of the record")
	}
	if c.keys && t.Kind() == reflect.Pointer {
		return c.refusal(t, "and is equal to itself only, in its own process; use what it points to")
	}
	return nil
}

func (c *compiler) refusal(t reflect.Type, why string) error {
	what := "type %v cannot be carried: "
	if c.keys {
		what = "type %v cannot be a key: "
	}
	what = fmt.Sprintf(what, c.root)
	if len(c.path) == 0 {
		return fmt.Errorf("%sit is %s %v, %s", what, article(t), kindName(t), why)
	}
	return fmt.Errorf("%sfield %s is %s %v, %s (or give its type MarshalBinary and UnmarshalBinary)",
		what, strings.Join(c.path, "."), article(t), kindName(t), why)
}

func kindName(t reflect.Type) string {
	if t.Name() == "" || t.String() == t.Kind().String() {
		return t.String()
	}
	return fmt.Sprintf("%v (%v)", t, t.Kind())
}

func article(t reflect.Type) string {
	if strings.ContainsRune("aeio", rune(t.String()[0])) {
		return "an"
	}
	return "a"
}

func (c *compiler) fillNumber(p *program, kind reflect.Kind) {
	p.schema = kind.String()
	width := int(p.size)
	if kind == reflect.Int || kind == reflect.Uint {
		width = 8
	}
	p.least = width
	p.plain = nativeLittle && width == int(p.size)
	switch kind {
	case reflect.Int:
		p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
			return binary.LittleEndian.AppendUint64(dst, uint64(*(*int)(at)))
		}
		p.decode = func(d *decoder, at unsafe.Pointer) bool {
			b := d.take(8)
			if b == nil {
				return false
			}
			v := int64(binary.LittleEndian.Uint64(b))
			*(*int)(at) = int(v)
			return int64(int(v)) == v || d.fail(errValue)
		}
	case reflect.Uint:
		p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
			return binary.LittleEndian.AppendUint64(dst, uint64(*(*uint)(at)))
		}
		p.decode = func(d *decoder, at unsafe.Pointer) bool {
			b := d.take(8)
			if b == nil {
				return false
			}
			v := binary.LittleEndian.Uint64(b)
			*(*uint)(at) = uint(v)
			return uint64(uint(v)) == v || d.fail(errValue)
		}
	case reflect.Complex64:
		fillWords(p, 2, 4)
	case reflect.Complex128:
		fillWords(p, 2, 8)
	default:
		fillWords(p, 1, width)
	}
	if c.keys {
		fillFloatKey(p, kind)
	}
}

// fillWords fills in a number that is n words of width bytes in memory.
func fillWords(p *program, n, width int) {
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		for i := range n {
			dst = appendWord(dst, unsafe.Add(at, i*width), width)
		}
		return dst
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		b := d.take(n * width)
		if b == nil {
			return false
		}
		for i := range n {
			putWord(unsafe.Add(at, i*width), b[i*width:], width)
		}
		return true
	}
}

func appendWord(dst []byte, at unsafe.Pointer, width int) []byte {
	switch width {
	case 1:
		return append(dst, *(*uint8)(at))
	case 2:
		return binary.LittleEndian.AppendUint16(dst, *(*uint16)(at))
	case 4:
		return binary.LittleEndian.AppendUint32(dst, *(*uint32)(at))
	}
	return binary.LittleEndian.AppendUint64(dst, *(*uint64)(at))
}

func putWord(at unsafe.Pointer, b []byte, width int) {
	switch width {
	case 1:
		*(*uint8)(at) = b[0]
	case 2:
		*(*uint16)(at) = binary.LittleEndian.Uint16(b)
	case 4:
		*(*uint32)(at) = binary.LittleEndian.Uint32(b)
	default:
		*(*uint64)(at) = binary.LittleEndian.Uint64(b)
	}
}

// fillFloatKey makes equal floats equal bytes: -0 becomes 0, and every NaN the same NaN.
func fillFloatKey(p *program, kind reflect.Kind) {
	n := 1
	switch kind {
	case reflect.Complex64, reflect.Complex128:
		n = 2
	case reflect.Float32, reflect.Float64:
	default:
		return
	}
	p.plain = false
	wide := int(p.size)/n == 8
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		for i := range n {
			if wide {
				dst = binary.LittleEndian.AppendUint64(dst, floatKey(*(*float64)(unsafe.Add(at, i*8))))
				continue
			}
			dst = binary.LittleEndian.AppendUint64(dst, floatKey(float64(*(*float32)(unsafe.Add(at, i*4)))))
		}
		return dst
	}
}

func floatKey(f float64) uint64 {
	switch {
	case f == 0:
		return 0
	case f != f:
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f)
}

func fillBool(p *program) {
	p.schema, p.least = "bool", 1
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		if *(*bool)(at) {
			return append(dst, 1)
		}
		return append(dst, 0)
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		b := d.take(1)
		if b == nil {
			return false
		}
		*(*bool)(at) = b[0] == 1
		return b[0] <= 1 || d.fail(errValue)
	}
}

func fillString(p *program) {
	p.schema, p.least, p.isString = "string", 1, true
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		s := *(*string)(at)
		return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		n, ok := d.length(1)
		if ok && n > 0 {
			b := d.shared(n)
			*(*string)(at) = unsafe.String(&b[0], n)
		}
		return ok
	}
	p.clone = func(at unsafe.Pointer, _ int) {
		*(*string)(at) = strings.Clone(*(*string)(at))
	}
}

func (c *compiler) fillArray(p *program, t reflect.Type) error {
	e, err := c.inside("[]", t.Elem())
	if err != nil {
		return err
	}
	n, size := t.Len(), e.size
	p.schema = "[" + strconv.Itoa(n) + "]" + e.schema
	p.least = n * e.least
	p.plain = e.plain
	p.append = func(dst []byte, at unsafe.Pointer, depth int) []byte {
		for i := range n {
			dst = e.append(dst, unsafe.Add(at, uintptr(i)*size), depth)
		}
		return dst
	}
	p.decode = arrayDecode(n, e)
	if e.clone != nil {
		p.clone = func(at unsafe.Pointer, depth int) {
			for i := range n {
				e.clone(unsafe.Add(at, uintptr(i)*size), depth)
			}
		}
	}
	if p.plain {
		fillPlain(p)
	}
	return nil
}

func arrayDecode(n int, e *program) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, at unsafe.Pointer) bool {
		for i := range n {
			if !e.decode(d, unsafe.Add(at, uintptr(i)*e.size)) {
				return false
			}
		}
		return true
	}
}

// fillPlain makes p copy memory.
func fillPlain(p *program) {
	size := int(p.size)
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		return append(dst, unsafe.Slice((*byte)(at), size)...)
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		b := d.take(size)
		if b == nil {
			return size == 0
		}
		copy(unsafe.Slice((*byte)(at), size), b)
		return true
	}
}

// inside compiles what is inside the type at hand, under a name for messages.
func (c *compiler) inside(name string, t reflect.Type) (*program, error) {
	if name == "[]" && len(c.path) > 0 {
		last := c.path[len(c.path)-1]
		c.path[len(c.path)-1] = last + name
		defer func() { c.path[len(c.path)-1] = last }()
		return c.compile(t)
	}
	c.path = append(c.path, name)
	defer func() { c.path = c.path[:len(c.path)-1] }()
	return c.compile(t)
}
