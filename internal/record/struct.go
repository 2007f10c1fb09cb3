package record

import (
	"reflect"
	"strings"
	"unsafe"
)

// step carries one field, or several plain ones that lie beside each other.
type step struct {
	offset uintptr
	p      *program
}

func (c *compiler) fillStruct(p *program, t reflect.Type) error {
	var steps []step
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		e, err := c.inside(f.Name, f.Type)
		if err != nil {
			return err
		}
		p.least += e.least
		steps = addStep(steps, step{f.Offset, e})
		names = append(names, f.Name+" "+e.schema)
	}
	p.schema = "struct{" + strings.Join(names, ";") + "}"
	p.append, p.decode, p.clone = structAppend(steps), structDecode(steps), structClone(steps)
	if len(steps) == 0 {
		p.plain = p.size == 0
		return nil
	}
	if first := steps[0]; len(steps) == 1 && first.p.plain && first.p.size == p.size {
		p.plain, p.append, p.decode = true, first.p.append, first.p.decode
	}
	return nil
}

// addStep adds a field, to the last step when both are plain and lie beside each other.
func addStep(steps []step, s step) []step {
	if s.p.plain && s.p.size == 0 {
		return steps
	}
	if len(steps) == 0 {
		return append(steps, s)
	}
	last := &steps[len(steps)-1]
	if !last.p.plain || !s.p.plain || last.offset+last.p.size != s.offset {
		return append(steps, s)
	}
	merged := &program{size: last.p.size + s.p.size, plain: true}
	fillPlain(merged)
	last.p = merged
	return steps
}

func structAppend(steps []step) func(dst []byte, at unsafe.Pointer, depth int) []byte {
	return func(dst []byte, at unsafe.Pointer, depth int) []byte {
		for i := range steps {
			dst = steps[i].p.append(dst, unsafe.Add(at, steps[i].offset), depth)
		}
		return dst
	}
}

func structDecode(steps []step) func(d *decoder, at unsafe.Pointer) bool {
	return func(d *decoder, at unsafe.Pointer) bool {
		for i := range steps {
			if !steps[i].p.decode(d, unsafe.Add(at, steps[i].offset)) {
				return false
			}
		}
		return true
	}
}

func structClone(steps []step) func(at unsafe.Pointer, depth int) {
	var refer []step
	for _, s := range steps {
		if s.p.clone != nil {
			refer = append(refer, s)
		}
	}
	if len(refer) == 0 {
		return nil
	}
	return func(at unsafe.Pointer, depth int) {
		for i := range refer {
			refer[i].p.clone(unsafe.Add(at, refer[i].offset), depth)
		}
	}
}
