package record

import "fmt"

// Part returns the schema of a part of what a schema describes: of a struct's field by its name, of the elements of
// a slice, array or map by "[]", of the keys of a map by "[key]"; and of their parts in turn.
func Part(schema string, path ...string) (string, error) {
	s, err := parse(schema)
	if err != nil {
		return "", err
	}
	for _, step := range path {
		part := s.elem
		switch step {
		case "[]":
		case "[key]":
			part = s.key
		default:
			part = s.field(step)
		}
		if part == nil {
			return "", fmt.Errorf("%s has no %s", s.brief(), step)
		}
		s = part
	}
	return s.String(), nil
}
