package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// TestChangedIntent: an intent that is not what was stored is none.
func TestChangedIntent(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := s.PutIntent(t.Context(), []byte(`{"attempt":12}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, intentDir, hash), []byte(`{"attempt":13}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Intent(t.Context(), hash); !errors.Is(err, ErrHash) {
		t.Errorf("got %s, %v", b, err)
	}
}

// FuzzDocuments: whatever a file holds, reading it is an error, or gives what would be stored again.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"name":"g","maxParallelism":256,"vertices":[{"name":"v","parallelism":2}]}`))
	f.Add([]byte(`[{"temp":"/d/.part-00000-1.csv.inprogress-0a1b2c3d","final":"/d/part-00000-1.csv"}]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"version":1`))
	const name = "0198f0c2a1b27c3d8e4f5a6b7c8d9e0f-1"
	dir := f.TempDir()
	s, err := Open(f.Context(), dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		hash := sumOf(string(data))
		for kind, name := range map[string]string{graphDir: hash, intentDir: hash, outputDir: name} {
			if err := os.MkdirAll(filepath.Join(dir, kind), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, kind, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if g, err := s.Graph(t.Context(), hash); err == nil {
			_ = g.Validate() // whatever was read, it can be looked at
			_ = g.Hash()
		}
		if b, err := s.Intent(t.Context(), hash); err != nil || !bytes.Equal(b, data) {
			t.Errorf("%q came back as %q, %v", data, b, err)
		}
		outputs, err := s.Outputs(t.Context(), name)
		if err != nil {
			return
		}
		os.Remove(filepath.Join(dir, outputDir, name))
		if _, err := s.PutOutputs(t.Context(), job.ID(name[:32]), 1, outputs); err != nil {
			t.Errorf("%v cannot be stored again: %v", outputs, err)
		}
	})
}

// FuzzPlace: a name that is taken for a file of a checkpoint is the one that the file has, and leads nowhere else.
func FuzzPlace(f *testing.F) {
	f.Add("checkpoints/0198f0c2a1b27c3d8e4f5a6b7c8d9e0f/chk-7-1/state-0-0-0")
	f.Add("checkpoints/0198f0c2a1b27c3d8e4f5a6b7c8d9e0f/chk-07-1/manifest-3")
	f.Add("checkpoints/../chk-7-1/..")
	f.Fuzz(func(t *testing.T, name string) {
		if p, err := parsePlace(name); err == nil && p.String() != name {
			t.Errorf("%q is taken for %q", name, p)
		}
	})
}
