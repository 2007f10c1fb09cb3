package record

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// deepestShape bounds how far schemas nest: a text from storage must not exhaust the stack, and two that contain
// themselves may be compared as often as the product of their depths.
const deepestShape = 200

// parse reads a schema, whole. Shape.String returns the same text again.
func parse(schema string) (*shape, error) {
	p := &parser{text: schema, rest: schema}
	s, err := p.shape()
	if err == nil && p.rest != "" {
		err = p.fail("it goes on behind its end")
	}
	return s, err
}

type parser struct {
	text, rest string
	open       []*shape // being parsed, outermost first
}

func (p *parser) fail(why string) error {
	text := p.text
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return fmt.Errorf("this version does not know the schema %q: byte %d: %s", text, len(p.text)-len(p.rest), why)
}

// take removes a prefix, if it is there.
func (p *parser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

func (p *parser) expect(what string) error {
	if !p.take(what) {
		return p.fail(fmt.Sprintf("%q is missing", what))
	}
	return nil
}

func (p *parser) shape() (*shape, error) {
	if p.take("^") {
		return p.reference()
	}
	if len(p.open) == deepestShape {
		return nil, p.fail("it is nested too deep")
	}
	s := new(shape)
	p.open = append(p.open, s)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	return s, p.fill(s)
}

func (p *parser) fill(s *shape) (err error) {
	switch {
	case p.take("*"):
		return p.around(s, pointerKind)
	case p.take("[]"):
		return p.around(s, sliceKind)
	case p.take("["):
		s.kind = arrayKind
		if s.length, err = p.number(); err != nil {
			return err
		}
		return p.closed(s)
	case p.take("map["):
		s.kind = mapKind
		if s.key, err = p.shape(); err != nil {
			return err
		}
		return p.closed(s)
	case p.take("struct{"):
		return p.structure(s)
	case p.take("binary("):
		return p.binary(s)
	}
	return p.word(s)
}

// around parses the element of s.
func (p *parser) around(s *shape, kind string) (err error) {
	s.kind = kind
	s.elem, err = p.shape()
	return err
}

// closed parses a bracket and the element of s.
func (p *parser) closed(s *shape) error {
	if err := p.expect("]"); err != nil {
		return err
	}
	return p.around(s, s.kind)
}

func (p *parser) structure(s *shape) (err error) {
	s.kind = structKind
	for !p.take("}") {
		if len(s.fields) > 0 {
			if err := p.expect(";"); err != nil {
				return err
			}
		}
		f := member{name: p.name()}
		if f.name == "" || f.name == "_" || s.field(f.name) != nil {
			return p.fail("a field's name is missing, or there twice")
		}
		if err := p.expect(" "); err != nil {
			return err
		}
		if f.shape, err = p.shape(); err != nil {
			return err
		}
		s.fields = append(s.fields, f)
	}
	return nil
}

// name takes an identifier, or nothing.
func (p *parser) name() string {
	n := 0
	for n < len(p.rest) {
		r, size := utf8.DecodeRuneInString(p.rest[n:])
		if r != '_' && !unicode.IsLetter(r) && (n == 0 || !unicode.IsDigit(r)) {
			break
		}
		n += size
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

func (p *parser) binary(s *shape) error {
	quoted, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		return p.fail("a type in quotes is missing")
	}
	s.kind = binaryKind
	if s.own, err = strconv.Unquote(quoted); err != nil || strconv.Quote(s.own) != quoted {
		return p.fail("a type in quotes is missing")
	}
	p.rest = p.rest[len(quoted):]
	return p.expect(")")
}

func (p *parser) word(s *shape) error {
	n := 0
	for n < len(p.rest) && (p.rest[n] >= 'a' && p.rest[n] <= 'z' || p.rest[n] >= '0' && p.rest[n] <= '9') {
		n++
	}
	s.kind = p.rest[:n]
	if _, ok := numberKinds[s.kind]; !ok && s.kind != "bool" && s.kind != "string" && s.kind != "time" {
		return p.fail("a type is missing")
	}
	p.rest = p.rest[n:]
	return nil
}

// number takes a number, written as strconv.Itoa does.
func (p *parser) number() (int, error) {
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	v, err := strconv.Atoi(p.rest[:n])
	if err != nil || strconv.Itoa(v) != p.rest[:n] {
		return 0, p.fail("a number is missing")
	}
	p.rest = p.rest[n:]
	return v, nil
}

func (p *parser) reference() (*shape, error) {
	n, err := p.number()
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(p.open) {
		return nil, p.fail("a reference to nothing")
	}
	inside := p.open[len(p.open)-n:]
	if !slices.ContainsFunc(inside, func(s *shape) bool {
		return s.kind == pointerKind || s.kind == sliceKind || s.kind == mapKind
	}) {
		return nil, p.fail("a type that contains itself")
	}
	return inside[0], nil
}
