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

	"github.com/perennial-io/perennial/internal/stored/storedtest"
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
		storedtest.Fill(full.Elem())
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

// understood requires that a frame says today what it said when it was written.
func understood(t *testing.T, file string, line []byte) {
	t.Helper()
	_, m, err := New(readOnly{bytes.NewReader(frameOf(string(line)))}).Receive()
	if err != nil {
		t.Errorf("%s: %s: %v", file, line, err)
		return
	}
	var was struct{ Body json.RawMessage }
	if err := json.Unmarshal(line, &was); err != nil {
		t.Fatal(err)
	}
	if lost := storedtest.Lost(was.Body, m); lost != "" {
		t.Errorf("%s: of the %s, %s is lost or another today", file, m.Kind(), lost)
	}
}
