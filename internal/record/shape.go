package record

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// shape is a schema that was parsed: what Codec.Schema writes, in this grammar.
//
//	schema = "bool" | "string" | "time" | number
//	       | "*" schema | "[]" schema | "[" length "]" schema | "map[" schema "]" schema
//	       | "struct{" [ name " " schema { ";" name " " schema } ] "}"
//	       | "binary(" type in Go's quotes ")"
//	       | "^" n
//
// ^n is the n-th schema around it, from inside: ^1 is the one that it is the element or a field of. Between it
// and that one there is a pointer, slice or map, or a value would have no end. An inner shape
// that is such a reference is the very shape that it refers to.
type shape struct {
	kind   string   // "int8", "time", … as in the text, or one of the kinds below
	elem   *shape   // of a pointer, slice, array, map
	key    *shape   // of a map
	length int      // of an array
	fields []member // of a struct
	own    string   // the type that brings its own encoding
}

type member struct {
	name string
	*shape
}

// The kinds whose schema is more than a word.
const (
	pointerKind = "pointer"
	sliceKind   = "slice"
	arrayKind   = "array"
	mapKind     = "map"
	structKind  = "struct"
	binaryKind  = "binary"
)

// String returns the schema that the shape was parsed from.
func (s *shape) String() string { return string((&printer{limit: math.MaxInt}).print(s)) }

// brief is a schema that fits in a message.
func (s *shape) brief() string {
	text := (&printer{limit: 120}).print(s)
	if len(text) <= 120 {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:120]), "") + "…"
}

// printer prints a schema, no more of it than limit bytes and some: a part of one is printed with all that
// it refers to, which may be much.
type printer struct {
	text  []byte
	open  []*shape // being printed, outermost first
	limit int
}

func (p *printer) print(s *shape) []byte {
	if i := slices.Index(p.open, s); i >= 0 {
		p.text = strconv.AppendInt(append(p.text, '^'), int64(len(p.open)-i), 10)
	} else if len(p.text) <= p.limit {
		p.open = append(p.open, s)
		p.around(s)
		p.open = p.open[:len(p.open)-1]
	}
	return p.text
}

func (p *printer) around(s *shape) {
	switch s.kind {
	case pointerKind:
		p.text = append(p.text, '*')
	case sliceKind:
		p.text = append(p.text, "[]"...)
	case arrayKind:
		p.text = append(strconv.AppendInt(append(p.text, '['), int64(s.length), 10), ']')
	case mapKind:
		p.text = append(p.text, "map["...)
		p.text = append(p.print(s.key), ']')
	case structKind:
		p.fields(s)
	case binaryKind:
		p.text = append(strconv.AppendQuote(append(p.text, "binary("...), s.own), ')')
	default:
		p.text = append(p.text, s.kind...)
	}
	if s.elem != nil {
		p.print(s.elem)
	}
}

func (p *printer) fields(s *shape) {
	p.text = append(p.text, "struct{"...)
	for i, f := range s.fields {
		if i > 0 {
			p.text = append(p.text, ';')
		}
		p.text = append(append(p.text, f.name...), ' ')
		p.print(f.shape)
	}
	p.text = append(p.text, '}')
}

// field returns the field of a struct's shape, or nil.
func (s *shape) field(name string) *shape {
	for _, f := range s.fields {
		if f.name == name {
			return f.shape
		}
	}
	return nil
}

// least is the fewest bytes that a value takes encoded.
func (s *shape) least() int {
	switch s.kind {
	case arrayKind:
		return times(s.length, s.elem.least())
	case structKind:
		sum := 0
		for _, f := range s.fields {
			sum = min(sum+f.least(), math.MaxInt32)
		}
		return sum
	case binaryKind:
		return 4
	case "time":
		return timeWidth
	}
	if n, ok := numberKinds[s.kind]; ok {
		return n.width
	}
	return 1
}

// times is a product that ends at the largest length that a frame may have.
func times(n, size int) int {
	if n == 0 || size == 0 {
		return 0
	}
	if n > math.MaxInt32/size {
		return math.MaxInt32
	}
	return n * size
}

// pair is a shape as it was written and the one that it is read as.
type pair struct{ written, read *shape }

// same reports whether values of both have one encoding, field by field.
func same(a, b *shape) bool { return sameBut(a, b, map[pair]bool{}) }

// sameBut takes pairs that it has met for the same, as they are if nothing else differs.
func sameBut(a, b *shape, met map[pair]bool) bool {
	if met[pair{a, b}] {
		return true
	}
	met[pair{a, b}] = true
	if a.kind != b.kind || a.length != b.length || a.own != b.own || len(a.fields) != len(b.fields) {
		return false
	}
	for i, f := range a.fields {
		if f.name != b.fields[i].name || !sameBut(f.shape, b.fields[i].shape, met) {
			return false
		}
	}
	return (a.key == nil || sameBut(a.key, b.key, met)) && (a.elem == nil || sameBut(a.elem, b.elem, met))
}
