package taskmanager

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/storage"
)

// What a TaskManager has left behind is ended by the next one on its work directory, and a
// process that only has a recorded number is not (R4).
func TestPredecessorsProcessesAreEnded(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil))
	w, err := openWorkDir(t.Context(), dir, time.Second, log)
	if err != nil {
		t.Fatal(err)
	}
	left, foreign := waitingProcess(t), waitingProcess(t)
	if _, err := w.record(left.Process.Pid); err != nil {
		t.Fatal(err)
	}
	writeRecord(t, w, processRecord{PID: foreign.Process.Pid, Birth: "another boot/1"})
	writeRecord(t, w, processRecord{PID: 1})
	if err := os.WriteFile(filepath.Join(w.processes(), "77"), []byte("{torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.close()

	next, err := openWorkDir(t.Context(), dir, time.Second, log)
	if err != nil {
		t.Fatal(err)
	}
	defer next.close()
	if alive(t, left.Process.Pid) {
		t.Error("a recorded process lives on")
	}
	if !alive(t, foreign.Process.Pid) {
		t.Error("a foreign process with a recorded number was killed")
	}
	if kept := files(t, next.processes()+"/*"); len(kept) > 0 {
		t.Errorf("records are kept: %v", kept)
	}
}

// waitingProcess is one that does nothing until the test ends.
func waitingProcess(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_WAITS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // no childAttr: the thread here may end
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, cmd.Process.Pid); _ = cmd.Wait() })
	return cmd
}

func writeRecord(t *testing.T, w *workDir, r processRecord) {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.processes(), strconv.Itoa(r.PID)), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000-i), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(dir, 2, map[string]bool{"4": true}); err != nil {
		t.Fatal(err)
	}
	kept := files(t, dir+"/*")
	for i, want := range []string{"0", "1", "4"} { // the newest, and one that is in use
		if len(kept) != 3 || filepath.Base(kept[i]) != want {
			t.Fatalf("kept %v", kept)
		}
	}
}

func TestArtifacts(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := put(store, []byte("binary"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := newArtifacts(dir, store)
	var wg sync.WaitGroup
	for range 8 { // share one fetch
		wg.Go(func() { checkArtifact(t, a, sum) })
	}
	wg.Wait()

	path := filepath.Join(dir, sum)
	if err := os.WriteFile(path, []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, newArtifacts(dir, store), sum) // the next TaskManager looks at what is there

	stored := filepath.Join(store.Dir(), "artifacts", sum)
	if err := os.Chmod(stored, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stored, []byte("damaged too"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := newArtifacts(t.TempDir(), store).get(t.Context(), sum); err == nil || !strings.Contains(err.Error(), "they are damaged") {
		t.Errorf("damaged storage: %v", err)
	}
}

func checkArtifact(t *testing.T, a *artifacts, sum string) {
	t.Helper()
	path, err := a.get(t.Context(), sum)
	if err != nil {
		t.Error(err)
		return
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != "binary" {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("not executable: %v, %v", info, err)
	}
}

// A fetch whose first caller is called off is done by the next.
func TestArtifactOfACancelledCaller(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := put(store, []byte("binary"))
	if err != nil {
		t.Fatal(err)
	}
	a := newArtifacts(t.TempDir(), store)
	off, cancel := context.WithCancel(t.Context())
	f, mine := a.join(sum)
	if !mine {
		t.Fatal("somebody fetches already")
	}
	done := make(chan struct{})
	go func() { defer close(done); checkArtifact(t, a, sum) }()
	cancel()
	a.finish(sum, f, off.Err())
	<-done
}

// A TaskManager that was killed while it planned leaves a directory, which the next removes.
func TestPredecessorsPlansAreRemoved(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil))
	if err := os.MkdirAll(filepath.Join(dir, "plans", "left"), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := openWorkDir(t.Context(), dir, time.Second, log)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if left := files(t, w.plans()+"/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
