package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

func open(t *testing.T) *Storage {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(filepath.Join(s.dir, tempDir)); len(left) > 0 {
			t.Errorf("%d temporary files are left", len(left))
		}
	})
	return s
}

func sumOf(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"":                       "storage.dir is empty",
		"s3://bucket/x":          "not s3://",
		"file://host/x":          "expected file:///path",
		filepath.Join(file, "x"): "name a directory",
	} {
		if _, err := Open(location); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v; want an error with %q", location, err, want)
		}
	}
	dir := t.TempDir()
	s, err := Open("file://" + dir)
	if err != nil || s.Dir() != dir {
		t.Errorf("Open of a file URL: %v, %v", s, err)
	}
}

func TestArtifactIsVerifiedAndStoredOnce(t *testing.T) {
	s, ctx := open(t), context.Background()
	const content = "a job binary"
	sum := sumOf(content)

	if err := s.PutArtifact(ctx, sum, strings.NewReader("something else")); !errors.Is(err, ErrHash) {
		t.Fatalf("other bytes: %v, want ErrHash", err)
	}
	if has, err := s.HasArtifact(sum); has || err != nil {
		t.Fatalf("after a refused artifact: has %v, %v", has, err)
	}
	if _, err := s.OpenArtifact(sum); !errors.Is(err, ErrNotFound) {
		t.Fatalf("open what is not there: %v", err)
	}
	if err := s.PutArtifact(ctx, sum, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutArtifact(ctx, sum, failingReader{}); err != nil {
		t.Fatalf("storing it again: %v, want nothing to be read", err)
	}
	f, err := s.OpenArtifact(sum)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, _ := io.ReadAll(f); string(got) != content {
		t.Errorf("read %q", got)
	}
	if info, _ := f.Stat(); info.Mode().Perm()&0o111 == 0 {
		t.Errorf("mode %v is not executable", info.Mode())
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("read") }

func TestNamesCannotLeaveTheStorage(t *testing.T) {
	s, ctx := open(t), context.Background()
	for _, name := range []string{"", "..", "../cluster/incarnation", strings.ToUpper(sumOf("x")), sumOf("x") + "0"} {
		if err := s.PutArtifact(ctx, name, strings.NewReader("x")); err == nil {
			t.Errorf("artifact %q was stored", name)
		}
		if _, err := s.Graph(name); err == nil {
			t.Errorf("graph %q was read", name)
		}
		if _, err := s.Outputs(name); err == nil {
			t.Errorf("outputs %q were read", name)
		}
	}
}

func TestRacingIncarnationsHaveOneWinner(t *testing.T) {
	s := open(t)
	if _, err := s.Incarnation(); !errors.Is(err, ErrNotFound) {
		t.Fatalf("new storage: %v, want ErrNotFound", err)
	}
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = s.CreateIncarnation(string(rune('a' + i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, g := range got {
		if g != got[0] || g == "" {
			t.Fatalf("winners %q", got)
		}
	}
}

func TestDocuments(t *testing.T) {
	s := open(t)
	g := &job.Graph{Name: "wordcount", Vertices: []job.Vertex{{Name: "lines", Parallelism: 2}}, MaxParallelism: 128}
	hash, err := s.PutGraph(g)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := s.Graph(hash); err != nil || back.Hash() != hash {
		t.Errorf("graph: %+v, %v", back, err)
	}
	blob, err := s.PutIntent([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Intent(blob); err != nil || string(b) != "{}" {
		t.Errorf("intent: %q, %v", b, err)
	}

	id := job.NewID()
	list := []job.Output{{Temp: "/out/.a", Final: "/out/a"}}
	for range 2 { // a successor stores the same list again
		name, err := s.PutOutputs(id, 3, list)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := s.Outputs(name); err != nil || len(back) != 1 || back[0] != list[0] {
			t.Errorf("outputs: %v, %v", back, err)
		}
	}
	if _, err := s.PutOutputs(id, 3, nil); err == nil {
		t.Error("a different list for the same attempt was accepted")
	}
}
