package record

import (
	"encoding/binary"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// slice is a slice in memory, of whatever type.
type slice struct {
	data unsafe.Pointer
	len  int
	cap  int
}

func (c *compiler) fillSlice(p *program, t reflect.Type) error {
	if t.Elem().Kind() == reflect.Uint8 {
		fillBytes(p)
		return nil
	}
	e, err := c.inside("[]", t.Elem())
	if err != nil {
		return err
	}
	if e.least == 0 && e.size > 0 && !strings.HasPrefix(e.schema, "^") {
		return c.refusal(t, "whose elements have blank fields only; leave it out of the record")
	}
	p.schema, p.least = "[]"+e.schema, 1
	p.append = func(dst []byte, at unsafe.Pointer, depth int) []byte {
		return appendSlice(dst, (*slice)(at), e, depth)
	}
	p.decode = sliceDecode(t, e)
	p.clone = func(at unsafe.Pointer, depth int) {
		s := (*slice)(at)
		if s.data == nil {
			return
		}
		v := reflect.MakeSlice(t, s.len, s.len)
		reflect.Copy(v, reflect.NewAt(t, at).Elem())
		*s = slice{v.UnsafePointer(), s.len, s.len}
		for i := 0; e.clone != nil && i < s.len; i++ {
			e.clone(unsafe.Add(s.data, uintptr(i)*e.size), depth)
		}
	}
	return nil
}

func appendSlice(dst []byte, s *slice, e *program, depth int) []byte {
	if s.data == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(s.len)+1)
	if e.plain {
		return append(dst, unsafe.Slice((*byte)(s.data), s.len*int(e.size))...)
	}
	for i := range s.len {
		dst = e.append(dst, unsafe.Add(s.data, uintptr(i)*e.size), depth)
	}
	return dst
}

func sliceDecode(t reflect.Type, e *program) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, at unsafe.Pointer) bool {
		n, isNil, ok := d.lengthOrNil(e.least)
		if !ok || isNil {
			return ok
		}
		s, first := (*slice)(at), room(n, e.size, e.least)
		*s = slice{reflect.MakeSlice(t, first, first).UnsafePointer(), first, first}
		if first < n {
			return decodeGrowing(d, s, n, t, e)
		}
		return decodeSlice(d, s, e)
	}
}

// decodeGrowing takes memory for n elements of type t no faster than they turn out to be there.
func decodeGrowing(d *decoder, s *slice, n int, t reflect.Type, e *program) bool {
	for i := range n {
		if i == s.len {
			more := min(n, 2*i)
			v := reflect.MakeSlice(t, more, more)
			reflect.Copy(v, reflect.NewAt(t, unsafe.Pointer(s)).Elem())
			*s = slice{v.UnsafePointer(), more, more}
		}
		if !e.decode(d, unsafe.Add(s.data, uintptr(i)*e.size)) {
			return false
		}
	}
	return true
}

func decodeSlice(d *decoder, s *slice, e *program) bool {
	if e.plain {
		size := s.len * int(e.size)
		copy(unsafe.Slice((*byte)(s.data), size), d.take(size)) // lengthOrNil saw that there is enough
		return true
	}
	for i := range s.len {
		if !e.decode(d, unsafe.Add(s.data, uintptr(i)*e.size)) {
			return false
		}
	}
	return true
}

func fillBytes(p *program) {
	p.schema, p.least = "[]uint8", 1
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte {
		b := *(*[]byte)(at)
		if b == nil {
			return append(dst, 0)
		}
		return append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		n, isNil, ok := d.lengthOrNil(1)
		if ok && !isNil {
			*(*[]byte)(at) = d.shared(n)
		}
		return ok
	}
	p.clone = func(at unsafe.Pointer, _ int) {
		b := (*[]byte)(at)
		if *b != nil {
			*b = append(make([]byte, 0, len(*b)), *b...)
		}
	}
}

func (c *compiler) fillPointer(p *program, t reflect.Type) error {
	e, err := c.compile(t.Elem())
	if err != nil {
		return err
	}
	elem := t.Elem()
	p.schema, p.least = "*"+e.schema, 1
	p.append = func(dst []byte, at unsafe.Pointer, depth int) []byte {
		to := *(*unsafe.Pointer)(at)
		if to == nil {
			return append(dst, 0)
		}
		return e.append(append(dst, 1), to, depth)
	}
	p.decode = pointerDecode(elem, e)
	p.clone = func(at unsafe.Pointer, depth int) {
		to := (*unsafe.Pointer)(at)
		if *to == nil {
			return
		}
		v := reflect.New(elem)
		v.Elem().Set(reflect.NewAt(elem, *to).Elem())
		*to = v.UnsafePointer()
		if e.clone != nil {
			e.clone(*to, depth)
		}
	}
	return nil
}

func pointerDecode(elem reflect.Type, e *program) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, at unsafe.Pointer) bool {
		b := d.take(1)
		if b == nil || b[0] > 1 {
			return d.fail(errValue)
		}
		if b[0] == 0 {
			return true
		}
		to := reflect.New(elem).UnsafePointer()
		*(*unsafe.Pointer)(at) = to
		return e.decode(d, to)
	}
}

func (c *compiler) fillMap(p *program, t reflect.Type) error {
	k, err := c.inside("[key]", t.Key())
	if err != nil {
		return err
	}
	v, err := c.inside("[]", t.Elem())
	if err != nil {
		return err
	}
	m := newMapProgram(t, k, v)
	p.schema, p.least = "map["+k.schema+"]"+v.schema, 1
	p.append, p.decode, p.clone = m.append, m.decode, m.clone
	return nil
}

// mapProgram carries maps. They are the one kind that needs reflection as it runs: nothing
// else can walk a map of any type.
type mapProgram struct {
	t          reflect.Type
	key, value *program
	scratch    sync.Pool // of *mapScratch
}

func newMapProgram(t reflect.Type, key, value *program) *mapProgram {
	m := &mapProgram{t: t, key: key, value: value}
	m.scratch.New = func() any {
		return &mapScratch{key: reflect.New(t.Key()), value: reflect.New(t.Elem())}
	}
	return m
}

type mapScratch struct {
	key, value reflect.Value // pointers
	iter       reflect.MapIter
}

func (m *mapProgram) append(dst []byte, at unsafe.Pointer, depth int) []byte {
	v := reflect.NewAt(m.t, at).Elem()
	if v.IsNil() {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(v.Len())+1)
	s := m.scratch.Get().(*mapScratch)
	s.iter.Reset(v)
	for s.iter.Next() {
		s.key.Elem().SetIterKey(&s.iter)
		s.value.Elem().SetIterValue(&s.iter)
		dst = m.key.append(dst, s.key.UnsafePointer(), depth)
		dst = m.value.append(dst, s.value.UnsafePointer(), depth)
	}
	m.put(s)
	return dst
}

// put gives scratch back, emptied, so that it keeps no record alive.
func (m *mapProgram) put(s *mapScratch) {
	s.iter.Reset(reflect.Value{})
	s.key.Elem().SetZero()
	s.value.Elem().SetZero()
	m.scratch.Put(s)
}

func (m *mapProgram) decode(d *decoder, at unsafe.Pointer) bool {
	n, isNil, ok := d.lengthOrNil(m.key.least + m.value.least)
	if !ok || isNil {
		return ok
	}
	if n > 1 && m.key.least == 0 {
		return d.fail(errLength) // all such keys are equal
	}
	to := reflect.NewAt(m.t, at).Elem()
	to.Set(reflect.MakeMapWithSize(m.t, room(n, m.key.size+m.value.size, m.key.least+m.value.least)))
	s := m.scratch.Get().(*mapScratch)
	defer m.put(s)
	for range n {
		s.key.Elem().SetZero()
		s.value.Elem().SetZero()
		if !m.key.decode(d, s.key.UnsafePointer()) || !m.value.decode(d, s.value.UnsafePointer()) {
			return false
		}
		to.SetMapIndex(s.key.Elem(), s.value.Elem())
	}
	return true
}

func (m *mapProgram) clone(at unsafe.Pointer, depth int) {
	from := reflect.NewAt(m.t, at).Elem()
	if from.IsNil() {
		return
	}
	to := reflect.MakeMapWithSize(m.t, from.Len())
	for iter := from.MapRange(); iter.Next(); {
		key, value := reflect.New(m.t.Key()), reflect.New(m.t.Elem())
		key.Elem().SetIterKey(iter)
		value.Elem().SetIterValue(iter)
		cloneAt(m.key, key, depth)
		cloneAt(m.value, value, depth)
		to.SetMapIndex(key.Elem(), value.Elem())
	}
	from.Set(to)
}

func cloneAt(p *program, v reflect.Value, depth int) {
	if p.clone != nil {
		p.clone(v.UnsafePointer(), depth)
	}
}
