package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/perennial-io/perennial/connector"
)

// JSONLines is the sink that writes one JSON value per line to part-<subtask>-<attempt>.jsonl in
// dir, which must not hold part files of another job.
//
// Semantics: exactly-once. Each record becomes visible once: in an unbounded job with the completion of
// the checkpoint after it, in a bounded one when the job has finished. A subtask ends a file at each checkpoint
// (and where RollSize or RollAge says) that has records; the later ones are called part-<subtask>-<attempt>-<sequence>.jsonl.
//
// The text is that of encoding/json, tags `json:"name"` included, but without the escapes
// for HTML. Strings, numbers, bools, times, structs, slices, arrays and pointers are
// written without reflection; maps, interfaces, types with a MarshalJSON or MarshalText, and structs
// with embedded fields or tag options (omitempty …) go through encoding/json itself, which is slower.
// A relative dir starts where the job was submitted.
func JSONLines[T any](dir string, options ...SinkOption) connector.Sink[T] {
	c := jsonCompiler{active: make(map[reflect.Type]bool)}
	f, err := c.compile("", reflect.TypeFor[T]())
	return newSink(dir, "JSONLines", newSinkOptions("jsonl", options), jsonEncoder[T]{f}, err)
}

type jsonEncoder[T any] struct{ append appendFunc }

func (e jsonEncoder[T]) header() []byte { return nil }

func (e jsonEncoder[T]) appendRecords(dst []byte, records []T) ([]byte, error) {
	for i := range records {
		begin := len(dst)
		var err error
		if dst, err = e.append(dst, unsafe.Pointer(&records[i])); err != nil {
			return dst[:begin], err
		}
		dst = append(dst, '\n')
	}
	return dst, nil
}

// jsonCompiler makes an appendFunc of a type.
type jsonCompiler struct {
	active map[reflect.Type]bool // types that the present one is part of
}

var (
	jsonMarshalerType = reflect.TypeFor[json.Marshaler]()
)

func (c *jsonCompiler) compile(path string, t reflect.Type) (appendFunc, error) {
	switch {
	case t == timeType:
		return appendJSONTime, nil
	case implements(t, jsonMarshalerType), implements(t, textMarshalerType), c.active[t]:
		return appendByEncodingJSON(t), nil
	}
	c.active[t] = true
	defer delete(c.active, t)
	switch t.Kind() {
	case reflect.String:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return appendJSONString(dst, *(*string)(p)), nil }, nil
	case reflect.Float32:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
			return appendJSONFloat(dst, float64(*(*float32)(p)), 32)
		}, nil
	case reflect.Float64:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return appendJSONFloat(dst, *(*float64)(p), 64) }, nil
	case reflect.Pointer:
		return c.compilePointer(path, t)
	case reflect.Struct:
		return c.compileStruct(path, t)
	case reflect.Slice:
		return c.compileSlice(path, t)
	case reflect.Array:
		return c.compileArray(path, t)
	case reflect.Map:
		return c.compileMap(path, t)
	case reflect.Interface:
		return appendByEncodingJSON(t), nil
	}
	if f := appendNumber(t.Kind()); f != nil {
		return f, nil
	}
	return nil, typeError("JSON", path, t, "JSON has nothing like it; leave it out with a tag `json:\"-\"`")
}

func (c *jsonCompiler) compilePointer(path string, t reflect.Type) (appendFunc, error) {
	f, err := c.compile(path, t.Elem())
	if err != nil {
		return nil, err
	}
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
		if p = *(*unsafe.Pointer)(p); p == nil {
			return append(dst, "null"...), nil
		}
		return f(dst, p)
	}, nil
}

func (c *jsonCompiler) compileStruct(path string, t reflect.Type) (appendFunc, error) {
	type member struct {
		name   string
		key    string // the name in JSON with the comma or brace before it, and the colon
		append appendFunc
	}
	var members []member
	plain := true // no rule of encoding/json is needed that is not known here
	names := make(map[string]bool)
	for field := range t.Fields() {
		name, isPlain, skip := jsonName(field)
		if skip {
			continue
		}
		f, err := c.compile(join(path, field.Name), field.Type)
		if err != nil {
			return nil, err
		}
		plain = plain && isPlain && !names[name]
		names[name] = true
		key := append([]byte{','}, appendJSONString(nil, name)...)
		if len(members) == 0 {
			key[0] = '{'
		}
		members = append(members, member{field.Name, string(append(key, ':')), f.at(field.Offset)})
	}
	if !plain {
		return appendByEncodingJSON(t), nil
	}
	if len(members) == 0 {
		return func(dst []byte, _ unsafe.Pointer) ([]byte, error) { return append(dst, "{}"...), nil }, nil
	}
	return func(dst []byte, p unsafe.Pointer) (_ []byte, err error) {
		for i := range members {
			dst = append(dst, members[i].key...)
			if dst, err = members[i].append(dst, p); err != nil {
				return dst, fmt.Errorf("field %s: %w", members[i].name, err)
			}
		}
		return append(dst, '}'), nil
	}, nil
}

// jsonName returns a field's name in JSON; plain is false if its tag says more than a simple name.
func jsonName(field reflect.StructField) (name string, plain, skip bool) {
	tag := field.Tag.Get("json")
	switch {
	case tag == "-":
		return "", true, true
	case field.Anonymous:
		return field.Name, false, false
	case !field.IsExported():
		return "", true, true
	case tag == "":
		return field.Name, true, false
	}
	for i := range len(tag) {
		if c := tag[i]; c != '_' && c != '-' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return field.Name, false, false
		}
	}
	return tag, true, false
}

func (c *jsonCompiler) compileSlice(path string, t reflect.Type) (appendFunc, error) {
	if t.Elem().Kind() == reflect.Uint8 { // base64
		return appendByEncodingJSON(t), nil
	}
	f, err := c.compile(path+"[]", t.Elem())
	if err != nil {
		return nil, err
	}
	size := t.Elem().Size()
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
		s := (*[]byte)(p) // of another element type, but a slice's header is the same for all
		if *s == nil {
			return append(dst, "null"...), nil
		}
		return appendJSONElements(dst, unsafe.Pointer(unsafe.SliceData(*s)), len(*s), size, f)
	}, nil
}

func (c *jsonCompiler) compileArray(path string, t reflect.Type) (appendFunc, error) {
	f, err := c.compile(path+"[]", t.Elem())
	if err != nil {
		return nil, err
	}
	n, size := t.Len(), t.Elem().Size()
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return appendJSONElements(dst, p, n, size, f) }, nil
}

func appendJSONElements(dst []byte, p unsafe.Pointer, n int, size uintptr, f appendFunc) (_ []byte, err error) {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = f(dst, unsafe.Add(p, uintptr(i)*size)); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// compileMap leaves maps to encoding/json, once their types are known to be possible.
func (c *jsonCompiler) compileMap(path string, t reflect.Type) (appendFunc, error) {
	switch k := t.Key(); {
	case k.Kind() == reflect.String, appendNumber(k.Kind()) != nil && k.Kind() != reflect.Bool, k.Implements(textMarshalerType):
	default:
		return nil, typeError("JSON", path, t, "a key is a string, an integer or an encoding.TextMarshaler")
	}
	if _, err := c.compile(path+"[]", t.Elem()); err != nil {
		return nil, err
	}
	return appendByEncodingJSON(t), nil
}

func appendByEncodingJSON(t reflect.Type) appendFunc {
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(reflect.NewAt(t, p).Interface()); err != nil {
			return dst, err
		}
		return append(dst, bytes.TrimSuffix(text.Bytes(), []byte{'\n'})...), nil
	}
}

func appendJSONFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("JSON has no number for %v", f)
	}
	return appendFloat(dst, f, bits), nil
}

func appendJSONTime(dst []byte, p unsafe.Pointer) ([]byte, error) {
	t := (*time.Time)(p)
	if y := t.Year(); y < 0 || y > 9999 {
		return dst, fmt.Errorf("JSON's times are of the years 0 to 9999, not %d", y)
	}
	dst = t.AppendFormat(append(dst, '"'), time.RFC3339Nano)
	return append(dst, '"'), nil
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s in quotes, escaped as encoding/json does it without HTML.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = appendJSONEscape(append(dst, s[begin:i]...), c)
			i++
			begin = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && n == 1) || r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[begin:i]...)
			dst = append(dst, `\u`...)
			for shift := 12; shift >= 0; shift -= 4 {
				dst = append(dst, hexDigits[r>>shift&0xf])
			}
			begin = i + n
		}
		i += n
	}
	dst = append(dst, s[begin:]...)
	return append(dst, '"')
}

func appendJSONEscape(dst []byte, c byte) []byte {
	if i := strings.IndexByte("\"\\\b\f\n\r\t", c); i >= 0 {
		return append(dst, '\\', `"\bfnrt`[i])
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
