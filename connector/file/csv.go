package file

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/perennial-io/perennial/connector"
)

type csvFormat struct{ noHeader bool }

// CSV is the sink that writes comma-separated values (RFC 4180, but lines end with "\n") to
// part-<subtask>-<attempt>.csv in dir, each with a header. dir must not hold part files of another job.
//
// Semantics: exactly-once. Each record becomes visible once: in an unbounded job with the completion of
// the checkpoint after it, in a bounded one when the job has finished. A subtask ends a file at each checkpoint
// (and where RollSize or RollAge says) that has records; the later ones are called part-<subtask>-<attempt>-<sequence>.csv.
//
// A column is an exported field of the struct T, in order, named as the field or by its tag
// `csv:"name"`; `csv:"-"` leaves it out. Fields of an embedded struct count as T's own. A T that is
// no struct is the one column "value". A field is a string, a number, a bool, a time.Time (RFC 3339),
// a time.Duration ("1m30s"), an encoding.TextMarshaler, or a pointer to one of these, of which
// nil is empty. A relative dir starts where the job was submitted.
func CSV[T any](dir string, options ...SinkOption) connector.Sink[T] {
	o := newSinkOptions("csv", options)
	e, err := newCSVEncoder[T](csvFormat{o.noHeader})
	return newSink(dir, "CSV", o, e, err)
}

type csvEncoder[T any] struct {
	columns []csvColumn
	head    []byte
}

type csvColumn struct {
	name   string
	append appendFunc
}

func newCSVEncoder[T any](format csvFormat) (*csvEncoder[T], error) {
	columns, err := csvColumns(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	e := &csvEncoder[T]{columns: columns}
	if format.noHeader {
		return e, nil
	}
	for i, c := range columns {
		if i > 0 {
			e.head = append(e.head, ',')
		}
		e.head = appendCSVText(e.head, c.name)
	}
	e.head = append(e.head, '\n')
	return e, nil
}

func (e *csvEncoder[T]) header() []byte { return e.head }

func (e *csvEncoder[T]) appendRecords(dst []byte, records []T) ([]byte, error) {
	for i := range records {
		begin := len(dst)
		for c := range e.columns {
			if c > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = e.columns[c].append(dst, unsafe.Pointer(&records[i])); err != nil {
				return dst[:begin], fmt.Errorf("column %q: %w", e.columns[c].name, err)
			}
		}
		if len(dst) == begin { // one empty column: readers take an empty line for nothing
			dst = append(dst, '"', '"')
		}
		dst = append(dst, '\n')
	}
	return dst, nil
}

func csvColumns(t reflect.Type) ([]csvColumn, error) {
	if t.Kind() != reflect.Struct || t == timeType || implements(t, textMarshalerType) {
		f, err := csvAppend("", t)
		return []csvColumn{{"value", f}}, err
	}
	columns, err := structColumns("", t, 0)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return nil, typeError("CSV", "", t, "it has no exported field")
	}
	seen := make(map[string]bool)
	for _, c := range columns {
		if seen[c.name] {
			return nil, typeError("CSV", "", t, fmt.Sprintf("two columns are named %q; rename one by a tag `csv:\"…\"`", c.name))
		}
		seen[c.name] = true
	}
	return columns, nil
}

// structColumns lists the columns of a struct at base in the record; path leads to it.
func structColumns(path string, t reflect.Type, base uintptr) ([]csvColumn, error) {
	var columns []csvColumn
	for field := range t.Fields() {
		name := field.Tag.Get("csv")
		if name == "-" {
			continue
		}
		here := join(path, field.Name)
		if field.Anonymous && name == "" && plainStruct(field.Type) {
			inner, err := structColumns(here, field.Type, base+field.Offset)
			if err != nil {
				return nil, err
			}
			columns = append(columns, inner...)
			continue
		}
		if !field.IsExported() {
			continue
		}
		f, err := csvAppend(here, field.Type)
		if err != nil {
			return nil, err
		}
		if name == "" {
			name = field.Name
		}
		columns = append(columns, csvColumn{name, f.at(base + field.Offset)})
	}
	return columns, nil
}

// plainStruct reports whether t is a struct without a text of its own.
func plainStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != timeType && !implements(t, textMarshalerType)
}

func csvAppend(path string, t reflect.Type) (appendFunc, error) {
	switch {
	case t == timeType:
		return appendCSVTime, nil
	case t == durationType:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
			return append(dst, (*time.Duration)(p).String()...), nil
		}, nil
	case t.Kind() == reflect.Pointer:
		return csvAppendPointer(path, t)
	case implements(t, textMarshalerType):
		return appendCSVMarshaled(t), nil
	}
	switch t.Kind() {
	case reflect.String:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return appendCSVText(dst, *(*string)(p)), nil }, nil
	case reflect.Float32:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
			return appendFloat(dst, float64(*(*float32)(p)), 32), nil
		}, nil
	case reflect.Float64:
		return func(dst []byte, p unsafe.Pointer) ([]byte, error) { return appendFloat(dst, *(*float64)(p), 64), nil }, nil
	}
	if f := appendNumber(t.Kind()); f != nil {
		return f, nil
	}
	return nil, typeError("CSV", path, t, "a column is a string, number, bool, time or encoding.TextMarshaler (nested values can be written with file.JSONLines)")
}

func appendCSVTime(dst []byte, p unsafe.Pointer) ([]byte, error) {
	return (*time.Time)(p).AppendFormat(dst, time.RFC3339Nano), nil
}

func csvAppendPointer(path string, t reflect.Type) (appendFunc, error) {
	if t.Elem().Kind() == reflect.Pointer {
		return nil, typeError("CSV", path, t, "it is a pointer to a pointer")
	}
	f, err := csvAppend(path, t.Elem())
	if err != nil {
		return nil, err
	}
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
		if p = *(*unsafe.Pointer)(p); p == nil {
			return dst, nil
		}
		return f(dst, p)
	}, nil
}

// appendCSVMarshaled asks the value for its text; it is the one way here that allocates.
func appendCSVMarshaled(t reflect.Type) appendFunc {
	return func(dst []byte, p unsafe.Pointer) ([]byte, error) {
		v := reflect.NewAt(t, p)
		if t.Kind() == reflect.Interface && v.Elem().IsNil() {
			return dst, nil
		}
		m, ok := v.Interface().(encoding.TextMarshaler)
		if !ok {
			m = v.Elem().Interface().(encoding.TextMarshaler)
		}
		text, err := m.MarshalText()
		if err != nil {
			return dst, err
		}
		return appendCSVText(dst, string(text)), nil
	}
}

// appendCSVText appends s, in quotes where readers would otherwise take it for something else.
func appendCSVText(dst []byte, s string) []byte {
	if !needsQuotes(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for {
		quote := strings.IndexByte(s, '"')
		if quote < 0 {
			break
		}
		dst = append(dst, s[:quote+1]...)
		dst = append(dst, '"')
		s = s[quote+1:]
	}
	dst = append(dst, s...)
	return append(dst, '"')
}

func needsQuotes(s string) bool {
	if s == "" {
		return false
	}
	if s[0] <= ' ' || s[len(s)-1] <= ' ' || s == `\.` { // \. ends the input of PostgreSQL
		return true
	}
	for i := range len(s) {
		if c := s[i]; c <= ',' && (c == ',' || c == '"' || c == '\n' || c == '\r') {
			return true
		}
	}
	return false
}
