package record

import "fmt"

// Compatible reports whether values that were written as one schema can be read as another: nil,
// or an error that names the first field that cannot, and says what to do. docs/state-evolution.md
// has the rules. It needs the two texts alone; "" as what was written means that it is not known, and passes.
func Compatible(written, read string) error {
	if written == "" || written == read {
		return nil
	}
	w, r, err := parseBoth(written, read)
	if err != nil {
		return err
	}
	return compatible(w, r, "")
}

// CompatibleEntry is Compatible for entries of keyed state, which have a field named key: that one must
// be what it was.
func CompatibleEntry(written, read string) error {
	if written == "" || written == read {
		return nil
	}
	w, r, err := parseBoth(written, read)
	if err != nil {
		return err
	}
	wk, rk := w.field("key"), r.field("key")
	if wk == nil || rk == nil {
		return fmt.Errorf("an entry of keyed state has a key: it was written as %s and is to be read as %s", brief(w), brief(r))
	}
	if !same(wk, rk) {
		return fmt.Errorf("the key was written as %s and is to be read as %s: a key's type cannot change, because "+
			"the hash of its encoding decides in which subtask it lives: keep its type, or give the state another name", brief(wk), brief(rk))
	}
	return compatible(w, r, "")
}

func parseBoth(written, read string) (w, r *shape, err error) {
	if w, err = parse(written); err != nil {
		return nil, nil, fmt.Errorf("what was written: %w", err)
	}
	if r, err = parse(read); err != nil {
		return nil, nil, fmt.Errorf("what is to be read: %w", err)
	}
	return w, r, nil
}

// resolution compares two schemas.
type resolution struct {
	met map[pair]bool // assumed to be compatible, while what is inside them is looked at
}

func compatible(w, r *shape, path string) error {
	c := &resolution{met: map[pair]bool{}}
	if err := c.content(w, r, path); err != nil {
		return err
	}
	return c.compare(w, r, path)
}

// compare finds the first difference that cannot be bridged. Path is that of the fields to here.
func (c *resolution) compare(w, r *shape, path string) error {
	if c.met[pair{w, r}] {
		return nil
	}
	c.met[pair{w, r}] = true
	switch {
	case r.kind == pointerKind && w.kind != pointerKind:
		return c.pointTo(w, r, path)
	case isText(w) && isText(r), widens(w.kind, r.kind):
		return nil
	case w.kind != r.kind:
		return refusal(w, r, path, why(w, r))
	}
	switch w.kind {
	case pointerKind:
		return c.compare(w.elem, r.elem, path)
	case sliceKind:
		return c.elements(w, r, path)
	case arrayKind:
		if w.length != r.length {
			return refusal(w, r, path, "the length of an array cannot change")
		}
		return c.compare(w.elem, r.elem, path+"[]")
	case mapKind:
		if !same(w.key, r.key) {
			return refusal(w.key, r.key, path+"[key]", "the keys of a map cannot change")
		}
		return c.compare(w.elem, r.elem, path+"[]")
	case structKind:
		return c.fields(w, r, path)
	case binaryKind:
		if w.own != r.own {
			return refusal(w, r, path, "only the same type reads what it has encoded itself")
		}
	}
	return nil
}

// pointTo compares a value with what a pointer of the new type points to.
func (c *resolution) pointTo(w, r *shape, path string) error {
	to := r.elem
	for range deepestShape {
		if to.kind != pointerKind {
			return c.compare(w, to, path)
		}
		to = to.elem
	}
	return refusal(w, r, path, "that points to pointers alone")
}

func (c *resolution) elements(w, r *shape, path string) error {
	if err := c.content(w.elem, r.elem, path+"[]"); err != nil {
		return err
	}
	return c.compare(w.elem, r.elem, path+"[]")
}

// content refuses elements that took no bytes and would take memory now: nothing bounds their number.
func (c *resolution) content(w, r *shape, path string) error {
	if w.least() == 0 && r.least() > 0 {
		return refusal(w, r, path, "what had no content cannot be given some")
	}
	return nil
}

func (c *resolution) fields(w, r *shape, path string) error {
	if path != "" {
		path += "."
	}
	for _, f := range w.fields {
		read := r.field(f.name)
		if read == nil {
			continue // it is skipped
		}
		if err := c.compare(f.shape, read, path+f.name); err != nil {
			return err
		}
	}
	return nil
}

// isText reports whether s is a string or a []byte.
func isText(s *shape) bool {
	return s.kind == "string" || s.kind == sliceKind && s.elem.kind == "uint8"
}

func why(w, r *shape) string {
	_, number := numberKinds[w.kind]
	_, numberStill := numberKinds[r.kind]
	switch {
	case number && numberStill:
		return fmt.Sprintf("%s does not have every value of %s", r.kind, w.kind)
	case w.kind == pointerKind && r.kind == w.elem.kind:
		return "a pointer may have been nil"
	}
	return "they are different kinds of things"
}

func refusal(w, r *shape, path, why string) error {
	what := "the value"
	if path != "" {
		what = "field " + path
	}
	return fmt.Errorf("%s was written as %s and is to be read as %s: %s: keep its type, and add a field of another name or give the state another name",
		what, brief(w), brief(r), why)
}

// brief is a schema that fits in a message.
func brief(s *shape) string {
	text := s.String()
	if len(text) > 120 {
		return text[:120] + "…"
	}
	return text
}
