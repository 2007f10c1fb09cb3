package record

// number says what values a kind of number has.
type number struct {
	width int  // bytes, encoded
	sign  rune // 'i', 'u', 'f', or 'c' for complex
}

// numberKinds holds each kind of number by its name in schemas.
var numberKinds = map[string]number{
	"int8": {1, 'i'}, "int16": {2, 'i'}, "int32": {4, 'i'}, "int64": {8, 'i'}, "int": {8, 'i'},
	"uint8": {1, 'u'}, "uint16": {2, 'u'}, "uint32": {4, 'u'}, "uint64": {8, 'u'}, "uint": {8, 'u'},
	"float32": {4, 'f'}, "float64": {8, 'f'}, "complex64": {8, 'c'}, "complex128": {16, 'c'},
}

// widens reports whether every number of kind from is one of kind to: of its own, of a wider one,
// and, if it is an integer of up to 32 bits, of float64.
func widens(from, to string) bool {
	f, ok := numberKinds[from]
	t, ok2 := numberKinds[to]
	switch {
	case !ok || !ok2:
		return false
	case f.sign == 'c' || t.sign == 'c':
		return from == to
	case f.sign == t.sign:
		return f.width <= t.width
	case f.sign == 'u' && t.sign == 'i':
		return f.width < t.width
	}
	return t == number{8, 'f'} && f.width < 8
}
