package record

import (
	"encoding/binary"
	"unsafe"
)

// skip returns the program that decodes a value of shape s into nothing. It checks no more than
// where the value ends.
func (e *evolver) skip(s *shape) *program {
	if p := e.skips[s]; p != nil {
		return inside(p)
	}
	p := &program{least: s.least()}
	e.skips[s] = p
	if width, ok := s.width(); ok {
		p.decode = skipBytes(width)
		return p
	}
	switch s.kind {
	case "string":
		p.decode = func(d *decoder, _ unsafe.Pointer) bool {
			n, ok := d.length(1)
			return ok && skipped(d, n)
		}
	case binaryKind:
		p.decode = skipOwn
	case pointerKind:
		p.decode = skipPointer(e.skip(s.elem))
	case sliceKind:
		p.decode = skipMany(e.skip(s.elem))
	case mapKind:
		p.decode = skipMany(inOrder(e.skip(s.key), e.skip(s.elem)))
	case arrayKind:
		p.decode = skipTimes(s.length, e.skip(s.elem))
	case structKind:
		fields := make([]*program, len(s.fields))
		for i, f := range s.fields {
			fields[i] = e.skip(f.shape)
		}
		p.decode = inOrder(fields...).decode
	}
	return p
}

// width is how many bytes values take encoded, if all take as many.
func (s *shape) width() (int, bool) {
	if s.least() == 0 {
		return 0, true
	}
	switch s.kind {
	case "bool", "time":
		return s.least(), true
	case arrayKind:
		_, ok := s.elem.width()
		return s.least(), ok
	case structKind:
		for _, f := range s.fields {
			if _, ok := f.width(); !ok {
				return 0, false
			}
		}
		return s.least(), true
	}
	_, ok := numberKinds[s.kind]
	return s.least(), ok
}

func skipped(d *decoder, n int) bool {
	if uint(n) > uint(len(d.rest)) {
		return d.fail(errLength)
	}
	d.rest = d.rest[n:]
	return true
}

func skipBytes(n int) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, _ unsafe.Pointer) bool { return skipped(d, n) }
}

func skipOwn(d *decoder, _ unsafe.Pointer) bool {
	size := d.take(4)
	if size == nil {
		return false
	}
	return skipped(d, int(binary.LittleEndian.Uint32(size)))
}

func skipPointer(elem *program) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, _ unsafe.Pointer) bool {
		b := d.take(1)
		if b == nil || b[0] > 1 {
			return d.fail(errValue)
		}
		return b[0] == 0 || elem.decode(d, nil)
	}
}

// skipMany skips the elements behind a length. Those that take no bytes are many at no cost.
func skipMany(elem *program) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, _ unsafe.Pointer) bool {
		n, _, ok := d.lengthOrNil(elem.least)
		return ok && (elem.least == 0 || skipTimes(n, elem)(d, nil))
	}
}

func skipTimes(n int, elem *program) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, _ unsafe.Pointer) bool {
		for range n {
			if !elem.decode(d, nil) {
				return false
			}
		}
		return true
	}
}

func inOrder(parts ...*program) *program {
	p := &program{}
	for _, part := range parts {
		p.least += part.least
	}
	p.decode = func(d *decoder, _ unsafe.Pointer) bool {
		for _, part := range parts {
			if !part.decode(d, nil) {
				return false
			}
		}
		return true
	}
	return p
}
