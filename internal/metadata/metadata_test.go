package metadata

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func example(t testing.TB) ([]byte, Header, []Entry) {
	t.Helper()
	h := Header{Release: "1.2.3", Incarnation: "i", Epoch: 7, Taken: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Final: true, JobManagers: []string{"a:1"}}
	entries := []Entry{{"jobs/1/intent", []byte(`{"x": "ü<"}`)}, {"taskmanagers/a", []byte{0xff, 0}}, {"taskmanagers/b", []byte{}}}
	file, err := Write(h, entries)
	if err != nil {
		t.Fatal(err)
	}
	h.Format, h.Version = format, Version
	return file, h, entries
}

func TestReadReversesWrite(t *testing.T) {
	file, header, entries := example(t)
	h, e, err := Read(file)
	if err != nil || !reflect.DeepEqual(h, header) || !reflect.DeepEqual(e, entries) {
		t.Errorf("got %+v %q, %v", h, e, err)
	}
	if lines := strings.Count(string(file), "\n"); lines != 5 {
		t.Errorf("%d lines:\n%s", lines, file)
	}
}

func TestRefused(t *testing.T) {
	file, _, _ := example(t)
	lines := bytes.SplitAfter(file, []byte("\n"))
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"empty":            {nil, ErrNoFile},
		"another file":     {[]byte("{}\n"), ErrNoFile},
		"newer":            {bytes.Replace(file, []byte(`"version":1`), []byte(`"version":2`), 1), ErrNewer},
		"a changed header": {bytes.Replace(file, []byte(`"epoch":7`), []byte(`"epoch":8`), 1), ErrDamaged},
		"a changed value":  {bytes.Replace(file, []byte("ü"), []byte("u"), 1), ErrDamaged},
		"a lost entry":     {bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[4]}, nil), ErrDamaged},
		"no end":           {bytes.Join(lines[:4], nil), ErrDamaged},
		"the header alone": {lines[0], ErrDamaged},
		"cut short":        {file[:len(file)-10], ErrDamaged},
	} {
		if _, _, err := Read(test.file); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	file, _, _ := example(f)
	f.Add(file)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, entries, err := Read(b)
		if err != nil {
			return
		}
		again, err := Write(h, entries)
		if err != nil {
			t.Fatal(err)
		}
		if h2, e2, err := Read(again); err != nil || !reflect.DeepEqual(h, h2) || len(e2) != len(entries) {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
