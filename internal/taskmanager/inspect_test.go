package taskmanager

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

func TestAttemptDirs(t *testing.T) {
	id := job.NewID()
	for _, key := range []attemptKey{{partKey{id, 0}, 1}, {partKey{id, 3}, 12}} {
		if got, ok := parseAttemptDir(key.dir()); !ok || got != key {
			t.Errorf("%s is read as %v, %v", key.dir(), got, ok)
		}
	}
	for _, name := range []string{"", "-", "x-1", string(id), string(id) + "-", string(id) + "-x", string(id) + "-1.", string(id) + "-01", string(id) + "-1.2.3", string(id) + "-1.0"} {
		if key, ok := parseAttemptDir(name); ok {
			t.Errorf("%q is read as %v", name, key)
		}
	}
}

// TestShownFiles: the output of attempts is shown, and nothing else that is there.
func TestShownFiles(t *testing.T) {
	w, err := openWorkDir(t.Context(), t.TempDir(), time.Second, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	id, other := job.NewID(), job.NewID()
	for _, name := range []string{string(id) + "-10/stderr", string(id) + "-2.1/stderr", string(id) + "-2.1/stdout", string(id) + "-2.1/secret", string(other) + "-1/stderr"} {
		path := filepath.Join(w.jobs(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := w.files(id)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.Name, string(id)))
		if p, err := w.read(inspect.Question{File: f.Name}); err != nil || string(p.Data) != f.Name {
			t.Errorf("%s: %q, %v", f.Name, p.Data, err)
		}
	}
	if got := strings.Join(names, " "); got != "-2.1/stdout -2.1/stderr -10/stderr" {
		t.Error(got)
	}
	for _, name := range []string{string(id) + "-2.1/secret", string(id) + "-2.1", "../lock", string(id) + "-2.1/../../lock", string(id) + "-9/stderr", "/etc/passwd"} {
		if p, err := w.read(inspect.Question{File: name}); err == nil {
			t.Errorf("%s is shown: %q", name, p.Data)
		}
	}
}

// TestAnswersAreInNobodysWay: an answer is dropped where a link's queue is half full, and questions beyond a bound wait.
func TestAnswersAreInNobodysWay(t *testing.T) {
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	l := &link{out: make(chan letter, postBox)}
	for range postBox {
		tab.answer(l, rpc.Inspected{})
	}
	if len(l.out) != postBox/2 || l.done {
		t.Errorf("%d answers are queued, and the link has ended: %v", len(l.out), l.done)
	}
	tab.inspecting = maxInspections
	tab.inspect(l, rpc.Inspect{Query: 1})
	if tab.inspecting != maxInspections || len(l.out) != postBox/2 {
		t.Errorf("%d questions are in work", tab.inspecting)
	}
}
