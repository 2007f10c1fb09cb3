package record

import "reflect"

// Mutable reports whether records of T refer to memory that could be changed through them: slices, maps
// and pointers, but not strings.
func (c *Codec[T]) Mutable() bool {
	return c.HasPointers() && mutable(reflect.TypeFor[T](), map[reflect.Type]bool{})
}

func mutable(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false // found elsewhere, if it is
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		return true
	case reflect.Array:
		return mutable(t.Elem(), seen)
	case reflect.Struct:
		if t == timeType {
			return false
		}
		for i := range t.NumField() {
			if mutable(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}
