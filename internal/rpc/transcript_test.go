package rpc

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the transcript of this version, if there is none")

// said are the messages between a TaskManager and its task process.
var said = []Message{
	Start{}, Ready{}, Status{}, Progress{}, Trigger{}, Acknowledge{}, Closed{}, Drain{}, Cancel{}, Lease{},
}

// TestTaskProcessesOfOlderReleases: a job's binary has the protocol of the day that it was built. What it says, and
// what it must be told, is written down for each version, every field filled, and never changed: a field that is renamed,
// removed or of another type would be lost between the releases.
func TestTaskProcessesOfOlderReleases(t *testing.T) {
	own := filepath.Join("testdata", fmt.Sprintf("task-process-%d.jsonl", Protocol))
	if _, err := os.Stat(own); *update && err != nil {
		record(t, own)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "task-process-*.jsonl"))
	if err != nil || len(files) != Protocol-OldestTask+1 {
		t.Fatalf("transcripts %q (%v): want one of each version from %d to %d; go test -run TestTaskProcesses -update makes this one's", files, err, OldestTask, Protocol)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
			understood(t, file, line)
		}
	}
}

// record writes the transcript of this version.
func record(t *testing.T, file string) {
	t.Helper()
	var text bytes.Buffer
	for _, m := range said {
		full := reflect.New(reflect.TypeOf(m))
		fill(full.Elem())
		body, err := json.Marshal(full.Interface())
		if err != nil {
			t.Fatal(err)
		}
		f, err := json.Marshal(frame{Kind: m.Kind(), Body: body})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s\n", f)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fill sets every field to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
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

// understood requires that a frame says today what it said when it was written.
func understood(t *testing.T, file string, line []byte) {
	t.Helper()
	_, m, err := New(readOnly{bytes.NewReader(frameOf(string(line)))}).Receive()
	if err != nil {
		t.Errorf("%s: %s: %v", file, line, err)
		return
	}
	var was struct {
		Kind string
		Body any
	}
	if err := json.Unmarshal(line, &was); err != nil {
		t.Fatal(err)
	}
	now, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var is any
	if err := json.Unmarshal(now, &is); err != nil {
		t.Fatal(err)
	}
	if lost := missing(was.Kind, was.Body, is); lost != "" {
		t.Errorf("%s: today %s is lost or another: %s", file, lost, now)
	}
}

// missing names the first value of was that is not in is.
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
