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
	return compatible(w, r)
}

// CompatibleEntry is Compatible for entries of keyed state, which have a field named Key: that one must
// be what it was.
func CompatibleEntry(written, read string) error {
	if written == "" || written == read {
		return nil
	}
	w, r, err := parseBoth(written, read)
	if err != nil {
		return err
	}
	return compatibleEntry(w, r)
}

func compatibleEntry(w, r *shape) error {
	before, now := w.field("Key"), r.field("Key")
	switch {
	case before == nil || now == nil:
		return fmt.Errorf("an entry of keyed state has a key, but was written as %s and is to be read as %s", w.brief(), r.brief())
	case !same(before, now):
		return fmt.Errorf("the key was written as %s and is to be read as %s: a key's type cannot change, because the hash of "+
			"its encoding decides which subtask has it; keep its type, or give the state another name", before.brief(), now.brief())
	}
	c := newResolution()
	if err := c.content(w, r, ""); err != nil {
		return err
	}
	if old, value := valueOf(w), valueOf(r); old.name != "" && old.name == value.name {
		return c.compare(old.shape, value.shape, "")
	}
	return c.compare(w, r, "")
}

// valueOf is the one field that an entry has beside its key, if so: its user knows its type, not its name.
func valueOf(entry *shape) member {
	switch {
	case len(entry.fields) != 2:
		return member{}
	case entry.fields[0].name == "Key":
		return entry.fields[1]
	}
	return entry.fields[0]
}

func parseBoth(written, read string) (w, r *shape, err error) {
	if w, err = parse(written); err != nil {
		return nil, nil, fmt.Errorf("what was written: %w; use the version of Perennial that wrote it", err)
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

func newResolution() *resolution { return &resolution{met: map[pair]bool{}} }

func compatible(w, r *shape) error {
	c := newResolution()
	if err := c.content(w, r, ""); err != nil {
		return err
	}
	return c.compare(w, r, "")
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
			return refusal(w, r, path, "what a type has encoded itself is read by that type only")
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
	return refusal(w, r, path, "it points to pointers alone")
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
		return fmt.Sprintf("%s does not have every %s", r.kind, w.kind)
	case w.kind == pointerKind && r.kind == w.elem.kind:
		return "the pointer may have been nil"
	}
	return "nothing leads from one to the other"
}

func refusal(w, r *shape, path, why string) error {
	what, instead := "the value", "keep its type, or give the state another name"
	if path != "" {
		what, instead = "field "+path, "keep its type and add a field of another name, or give the state another name"
	}
	return fmt.Errorf("%s was written as %s and is to be read as %s: %s; %s", what, w.brief(), r.brief(), why, instead)
}
