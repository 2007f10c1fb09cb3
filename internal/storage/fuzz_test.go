package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// TestChangedDocuments: what is not what was stored is none, although it can be read.
func TestChangedDocuments(t *testing.T) {
	s := open(t)
	graph, err := s.PutGraph(t.Context(), &job.Graph{Name: "a", MaxParallelism: 256})
	said := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	said(err)
	intent, err := s.PutIntent(t.Context(), []byte(`{"attempt":12}`))
	said(err)
	outputs, err := s.PutOutputs(t.Context(), job.NewID(), 1, []job.Output{{Temp: "/out/.a", Final: "/out/a"}})
	said(err)
	for _, d := range []struct {
		kind, name, was, is string
		read                func() (any, error)
	}{
		{graphDir, graph, `"maxParallelism":256`, `"maxParallelism":257`, func() (any, error) { return s.Graph(t.Context(), graph) }},
		{intentDir, intent, "12", "13", func() (any, error) { return s.Intent(t.Context(), intent) }},
		{outputDir, outputs, `"/out/a"`, `"/out/b"`, func() (any, error) { return s.Outputs(t.Context(), outputs) }},
	} {
		path := filepath.Join(s.Dir(), d.kind, d.name)
		b, err := os.ReadFile(path)
		said(err)
		changed := bytes.Replace(b, []byte(d.was), []byte(d.is), 1)
		if bytes.Equal(changed, b) {
			t.Fatalf("%s: there is no %s in %s", d.kind, d.was, b)
		}
		said(os.WriteFile(path, changed, 0o644))
		if got, err := d.read(); !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), d.name) {
			t.Errorf("%s: got %v, %v", d.kind, got, err)
		}
	}
}

// TestOutputsWithoutHash: a list that a build before hashes has stored is read.
func TestOutputsWithoutHash(t *testing.T) {
	s := open(t)
	if _, err := s.createBytes(t.Context(), outputDir, "0198f0c2a1b27c3d8e4f5a6b7c8d9e0f-1", []byte(`[{"temp":"/out/.a","final":"/out/a"}]`)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Outputs(t.Context(), "0198f0c2a1b27c3d8e4f5a6b7c8d9e0f-1"); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
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
		again, err := s.PutOutputs(t.Context(), job.ID(name[:32]), 1, outputs)
		if err != nil {
			t.Fatalf("%v cannot be stored again: %v", outputs, err)
		}
		if back, err := s.Outputs(t.Context(), again); err != nil || !slices.Equal(back, outputs) {
			t.Errorf("%v came back as %v, %v", outputs, back, err)
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
