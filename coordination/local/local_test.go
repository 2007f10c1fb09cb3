package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/coordinationtest"
	"github.com/perennial-io/perennial/coordination/internal/state"
	"github.com/perennial-io/perennial/coordination/local"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	coordinationtest.Run(t, newCluster)
}

func newCluster(t *testing.T) coordinationtest.Cluster {
	f := openFile(t, t.TempDir())
	t.Cleanup(func() { closeFile(t, f) })
	return coordinationtest.Cluster{
		Open:   func(*testing.T) coordination.Store { return f.Session() },
		Expire: func(_ *testing.T, s coordination.Store) { s.(*state.Session).Expire() },
	}
}

func openFile(t *testing.T, dir string) *local.File {
	t.Helper()
	f, err := local.OpenFile(t.Context(), dir)
	if err != nil {
		t.Fatalf("OpenFile: %v", err)
	}
	return f
}

func closeFile(t *testing.T, f *local.File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// write leads once and leaves an entry of n bytes, and then closes the file.
func write(t *testing.T, dir, nonce string, n int) coordination.Version {
	t.Helper()
	f := openFile(t, dir)
	defer closeFile(t, f)
	s := f.Session()
	defer s.Close()
	term, err := s.Claim(t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "a", Data: []byte("at a")}, nonce)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	if err := s.Join(t.Context(), coordination.Member{ID: "a"}); err != nil {
		t.Fatalf("Join: %v", err)
	}
	v, err := term.Commit(t.Context(),
		coordination.Create("jobs/1/intent", make([]byte, n)), coordination.Create("jobs/2/intent", nil))
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if _, err := term.Commit(t.Context(), coordination.Delete("jobs/2/intent", v[1])); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return v[0]
}

// TestRestart: epoch and entries are there for the next process; life is not.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "OpenFile")
	version := write(t, dir, "nonce", 100)

	s, err := local.Open(t.Context(), dir)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	l, err := s.Leader(t.Context())
	if err != nil || l.Epoch != 1 || l.ID != "a" || string(l.Data) != "at a" || l.Nonce != "nonce" || l.Alive {
		t.Errorf("after a restart Leader is %+v, %v; want epoch 1 of a, not alive", l, err)
	}
	if m, err := s.Members(t.Context()); err != nil || len(m) != 0 {
		t.Errorf("after a restart the members are %v, %v; want none", m, err)
	}
	term, err := s.Claim(t.Context(), l, coordination.Candidate{ID: "b"}, coordination.NewNonce())
	if err != nil || term.Epoch() != 2 {
		t.Fatalf("Claim over epoch 1: %v", err)
	}
	entries, err := term.List(t.Context(), "jobs/")
	if err != nil || len(entries) != 1 || entries[0].Version != version || len(entries[0].Value) != 100 {
		t.Fatalf("after a restart List is %v, %v; want jobs/1/intent of 100 bytes at %d", entries, err, version)
	}
	v, err := term.Commit(t.Context(), coordination.Create("jobs/2/intent", nil))
	if err != nil || v[0] <= version+1 {
		t.Errorf("a key that was deleted before the restart got version %v, %v; want one that was never given", v, err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	closeFile(t, openFile(t, dir)) // Close of the only session has released the file
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	f := openFile(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := local.OpenFile(ctx, dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, local.Name)) || !strings.Contains(err.Error(), "another JobManager") {
		t.Errorf("OpenFile of a file in use: %v; want an error that names the file and who has it", err)
	}
	if ctx.Err() == nil {
		t.Error("OpenFile has not waited for the file to become free")
	}
	closeFile(t, f)
	closeFile(t, openFile(t, dir))
}

// TestDamaged opens files that are none, or no longer, or not whole: an error that names
// the file, or what was written; never a panic and never other contents.
func TestDamaged(t *testing.T) {
	good := t.TempDir()
	write(t, good, "nonce", 50_000)
	whole, err := os.ReadFile(filepath.Join(good, local.Name))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"text":       []byte("this is no database\n"),
		"zeros":      make([]byte, 1<<16),
		"cut short":  whole[:8*os.Getpagesize()],
		"metas only": whole[:2*os.Getpagesize()],
		"one byte":   {0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := overwrite(t, dir, content)
			f, err := local.OpenFile(t.Context(), dir)
			if err == nil {
				closeFile(t, f)
				t.Fatal("OpenFile accepted it")
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name %s: %v", path, err)
			}
			t.Log(err)
		})
	}
	t.Run("some bytes", func(t *testing.T) { flipBytes(t, whole) })
}

// flipBytes damages one byte at a time, here and there.
func flipBytes(t *testing.T, whole []byte) {
	dir, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 150 {
		damaged := append([]byte(nil), whole...)
		at := random.IntN(len(damaged))
		damaged[at] ^= byte(1 + random.IntN(255))
		path := overwrite(t, dir, damaged)
		f, err := local.OpenFile(t.Context(), dir)
		if err != nil {
			if refused++; !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d: the error does not name %s: %v", at, path, err)
			}
			continue
		}
		intact(t, f, at)
		closeFile(t, f)
	}
	if refused == 0 {
		t.Error("no damage was noticed: the checksums check nothing")
	}
}

// intact checks that f holds a state that was once committed. (A damaged newest meta page
// lets the database fall back on the one before.)
func intact(t *testing.T, f *local.File, at int) {
	t.Helper()
	s := f.Session()
	defer s.Close()
	l, err := s.Leader(t.Context())
	if err != nil {
		t.Fatalf("byte %d: Leader: %v", at, err)
	}
	if l.Epoch != 1 || l.Nonce != "nonce" {
		t.Errorf("byte %d: the file was accepted with %+v", at, l)
		return
	}
	term, err := s.Resume(t.Context(), coordination.Candidate{ID: "a"}, "nonce")
	if err != nil {
		t.Fatalf("byte %d: Resume: %v", at, err)
	}
	entries, err := term.List(t.Context(), "jobs/")
	if err != nil || len(entries) == 0 || len(entries[0].Value) != 50_000 {
		t.Errorf("byte %d: the file was accepted with the entries %v, %v", at, entries, err)
	}
}

func overwrite(t *testing.T, dir string, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(dir, local.Name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.OpenFile(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenFile of a directory that is a file: %v; want an error that names it", err)
	}
}
