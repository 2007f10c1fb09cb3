package local_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/perennial-io/perennial/internal/storage/local"
	"github.com/perennial-io/perennial/internal/storage/objects"
	"github.com/perennial-io/perennial/internal/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) objects.Store { return local.At(t.TempDir()) })
}

// TestADirectoryThatIsAway: nothing is written to the disk that shows where another one is not mounted.
func TestADirectoryThatIsAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "away")
	s := local.At(dir)
	if _, err := s.Create(t.Context(), "d/a", objects.Write(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "d/a", objects.Write(nil)); err != nil {
		t.Error(err)
	}
}

func TestAFileThatIsCutOffIsNoEnd(t *testing.T) {
	dir := t.TempDir()
	s := local.At(dir)
	if _, err := s.Create(t.Context(), "a", objects.Write([]byte("12345"))); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(dir, "a"), 3); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "123" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestWhatKilledWritersLeave is listed nowhere, and goes with its directory.
func TestWhatKilledWritersLeave(t *testing.T) {
	dir := t.TempDir()
	s := local.At(dir)
	if _, err := s.Create(t.Context(), "d/a", objects.Write(nil)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d", ".a-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := s.List(t.Context(), "d"); err != nil || len(names) != 1 {
		t.Errorf("%q, %v", names, err)
	}
	if err := s.DeleteAll(t.Context(), "d"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
