package record

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"
)

// evolutions holds what was compiled by From: evolution -> *program. Like programs it is never
// emptied: a process restores the states of one checkpoint.
var evolutions sync.Map

type evolution struct {
	t       reflect.Type
	written string
}

// From returns the decoder of batches that were encoded with another schema, compiled once per type
// and schema. "" means T's own, as an equal one does: it is the codec's own decoder then. The
// error is that of Compatible.
func (c *Codec[T]) From(written string) (*Decoder[T], error) {
	if written == "" || written == c.Schema() {
		return &c.Decoder, nil
	}
	p, err := evolved(reflect.TypeFor[T](), written, c.Schema())
	if err != nil {
		return nil, err
	}
	return &Decoder[T]{p}, nil
}

// FromEntry is From for entries of keyed state, under the rule of CompatibleEntry.
func (c *Codec[T]) FromEntry(written string) (*Decoder[T], error) {
	if err := CompatibleEntry(written, c.Schema()); err != nil {
		return nil, err
	}
	return c.From(written)
}

func evolved(t reflect.Type, written, read string) (*program, error) {
	key := evolution{t, written}
	if p, ok := evolutions.Load(key); ok {
		return p.(*program), nil
	}
	w, r, err := parseBoth(written, read)
	if err != nil {
		return nil, err
	}
	if err := compatible(w, r); err != nil {
		return nil, err
	}
	e := &evolver{met: map[visit]*program{}, skips: map[*shape]*program{}}
	p, err := e.compile(w, r, t)
	if err != nil {
		return nil, err
	}
	evolutions.Store(key, p)
	return p, nil
}

// evolver compiles the decoding of one schema into a type of another, compatible one.
type evolver struct {
	met   map[visit]*program // maybe not complete yet
	skips map[*shape]*program
}

type visit struct {
	written *shape
	t       reflect.Type
}

// compile returns the program that decodes what was written as w into a t, whose shape is r.
func (e *evolver) compile(w, r *shape, t reflect.Type) (*program, error) {
	if same(w, r) || sameWord(w.kind, r.kind) {
		return compiled(t)
	}
	if p := e.met[visit{w, t}]; p != nil {
		return inside(p), nil
	}
	p := &program{size: t.Size(), least: w.least()}
	e.met[visit{w, t}] = p
	return p, e.fill(p, w, r, t)
}

// inside calls target, which is around it, once that is complete.
func inside(target *program) *program {
	p := recursive(target, 0)
	p.least = target.least
	return p
}

func (e *evolver) fill(p *program, w, r *shape, t reflect.Type) error {
	switch {
	case p.size == 0 && p.least == 0: // nothing becomes nothing, however often
		p.plain = true
		fillPlain(p)
		return nil
	case r.kind == pointerKind && w.kind != pointerKind:
		return e.fillNewPointer(p, w, r, t)
	case isText(w) && isText(r):
		fillOtherText(p, w)
		return nil
	case widens(w.kind, r.kind):
		fillWidened(p, w.kind, t.Kind())
		return nil
	case w.kind == structKind && r.kind == structKind:
		return e.fillStruct(p, w, r, t)
	case w.kind != r.kind || w.elem == nil:
		return fmt.Errorf("%s cannot be read as %s", w.brief(), r.brief()) // as Compatible would have said
	}
	elem, err := e.compile(w.elem, r.elem, t.Elem())
	if err != nil {
		return err
	}
	switch w.kind {
	case pointerKind:
		p.decode = pointerDecode(t.Elem(), elem)
	case sliceKind:
		p.decode = sliceDecode(t, elem)
	case arrayKind:
		p.decode = arrayDecode(w.length, elem)
	case mapKind:
		key, err := compiled(t.Key())
		if err != nil {
			return err
		}
		p.decode = newMapProgram(t, key, elem).decode
	}
	return nil
}

// fillNewPointer decodes a value into what a pointer is to point to.
func (e *evolver) fillNewPointer(p *program, w, r *shape, t reflect.Type) error {
	elem, err := e.compile(w, r.elem, t.Elem())
	if err != nil {
		return err
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		to := reflect.New(t.Elem()).UnsafePointer()
		*(*unsafe.Pointer)(at) = to
		return elem.decode(d, to)
	}
	return nil
}

// fillOtherText decodes a string into a []byte, or the other way round; no bytes at all are "".
func fillOtherText(p *program, w *shape) {
	if w.kind == "string" {
		p.decode = func(d *decoder, at unsafe.Pointer) bool {
			n, ok := d.length(1)
			if ok {
				*(*[]byte)(at) = d.shared(n)
			}
			return ok
		}
		return
	}
	p.decode = func(d *decoder, at unsafe.Pointer) bool {
		n, _, ok := d.lengthOrNil(1)
		if ok && n > 0 {
			b := d.shared(n)
			*(*string)(at) = unsafe.String(&b[0], n)
		}
		return ok
	}
}

// fillStruct decodes the fields in the order in which they were written.
func (e *evolver) fillStruct(p *program, w, r *shape, t reflect.Type) error {
	var steps []step
	for _, f := range w.fields {
		read := r.field(f.name)
		if read == nil {
			steps = addStep(steps, step{0, e.skip(f.shape)})
			continue
		}
		to, ok := t.FieldByName(f.name)
		if !ok {
			return fmt.Errorf("%v has no field %s", t, f.name)
		}
		field, err := e.compile(f.shape, read, to.Type)
		if err != nil {
			return err
		}
		steps = addStep(steps, step{to.Offset, field})
	}
	p.decode = structDecode(steps)
	return nil
}
