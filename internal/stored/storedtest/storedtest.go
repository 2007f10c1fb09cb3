// Package storedtest is for tests that what was written before can be read today: by records that were written down, every
// field filled, when a format came, and are never changed.
package storedtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/stored"
)

// line is a record in a file.
type line struct {
	Kind   string          `json:"kind"`
	Record json.RawMessage `json:"record"`
}

// Kept requires that each kind of record is read as it was written into a file: no field that was renamed, removed or given
// another type. Of each kind, one as a later release may write it is read too if that says nothing of a format, and refused if
// its format is later. With update it writes a file that is not there. Kinds are pointers to records.
func Kept(t *testing.T, file string, update bool, kinds map[string]any) {
	t.Helper()
	if _, err := os.Stat(file); update && err != nil {
		if err := write(file, kinds); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; -update writes it, when a format comes", err)
	}
	met := map[string]bool{}
	for b := range bytes.Lines(text) {
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatalf("%s: %s: %v", file, b, err)
		}
		met[l.Kind] = true
		if kinds[l.Kind] == nil {
			t.Errorf("%s: nobody reads a %s any more", file, l.Kind)
			continue
		}
		t.Run(l.Kind, func(t *testing.T) { kept(t, l.Record, reflect.TypeOf(kinds[l.Kind]).Elem()) })
	}
	for kind := range kinds {
		if !met[kind] {
			t.Errorf("%s has no %s", file, kind)
		}
	}
}

func kept(t *testing.T, was json.RawMessage, as reflect.Type) {
	t.Helper()
	record := reflect.New(as)
	if err := stored.Decode(was, record.Interface()); err != nil {
		t.Fatal(err)
	}
	if lost := Lost(was, record.Interface()); lost != "" {
		t.Errorf("today %s is lost or another", lost)
	}
	more := append([]byte(`{"of-a-later-release":1,"format":%d,`), bytes.TrimPrefix(was, []byte("{"))...)
	if as.Kind() != reflect.Struct {
		more = []byte(`{"format":%d}`) // a list becomes a record by that
	} else if err := stored.Decode(fmt.Appendf(nil, strings.ReplaceAll(string(more), "%d", "%[1]d"), stored.Format), reflect.New(as).Interface()); err != nil {
		t.Errorf("with a field more: %v", err)
	}
	err := stored.Decode(fmt.Appendf(nil, strings.ReplaceAll(string(more), "%d", "%[1]d"), stored.Format+1), reflect.New(as).Interface())
	if !errors.Is(err, stored.ErrNewer) {
		t.Errorf("of a later format: %v", err)
	}
}

func write(file string, kinds map[string]any) error {
	var text bytes.Buffer
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		full := reflect.New(reflect.TypeOf(kinds[kind]).Elem())
		Fill(full.Elem())
		b, err := json.Marshal(full.Interface())
		if err == nil {
			b, err = json.Marshal(line{kind, b})
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s\n", b)
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// Fill sets every field to something.
func Fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		Fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				Fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		Fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		Fill(key)
		Fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("1")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	default:
		panic("fill a " + v.Type().String())
	}
}

// Lost names the first value of was, which is JSON, that is not in what it was decoded to; "" if all is there.
func Lost(was []byte, to any) string {
	now, err := json.Marshal(to)
	if err != nil {
		return err.Error()
	}
	var before, today any
	if err := errors.Join(json.Unmarshal(was, &before), json.Unmarshal(now, &today)); err != nil {
		return err.Error()
	}
	return missing("it", before, today)
}

func missing(at string, was, is any) string {
	switch was := was.(type) {
	case map[string]any:
		is, _ := is.(map[string]any)
		for key, value := range was {
			if lost := missing(at+"."+key, value, is[key]); lost != "" {
				return lost
			}
		}
		return ""
	case []any:
		is, _ := is.([]any)
		for i, value := range was {
			if i >= len(is) {
				return fmt.Sprintf("%s[%d]", at, i)
			}
			if lost := missing(fmt.Sprintf("%s[%d]", at, i), value, is[i]); lost != "" {
				return lost
			}
		}
		return ""
	}
	if !reflect.DeepEqual(was, is) {
		return at
	}
	return ""
}
