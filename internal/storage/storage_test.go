package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// open returns the storage of a cluster that has been led.
func open(t *testing.T) *Storage {
	t.Helper()
	s := unused(t)
	if _, err := s.CreateIncarnation(t.Context(), "of the test"); err != nil {
		t.Fatal(err)
	}
	return s
}

func unused(t *testing.T) *Storage {
	t.Helper()
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noneHidden(t, s.Dir()) })
	return s
}

// noneHidden fails the test when a temporary file is left.
func noneHidden(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".") {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
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
		"":                     "storage.dir: it is empty",
		"ftp://host/x":         "ftp:// is not known",
		"s3://":                "expected s3://bucket/prefix",
		"s3:///x":              "expected s3://bucket/prefix",
		"s3://b":               "bucket",
		"s3://bucket/a/../b":   "prefix",
		"s3://bucket/x#y":      "expected s3://bucket/prefix",
		"s3://bucket/x?acl=y":  `"acl" is not known`,
		"s3://bucket/%zz":      "no URL",
		"s3://key:hunter2@b/x": "AWS_ACCESS_KEY_ID",
		"s3://bucket?endpoint=http://key:hunter2@host": "AWS_ACCESS_KEY_ID",
		"s3://bucket/?endpoint=localhost:9000":         "expected http://host:port",
		"file://host/x":                                "expected file:///path",
		filepath.Join(file, "x"):                       "name a directory",
	} {
		if _, err := Open(t.Context(), location); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v; want an error with %q", location, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q) repeats a secret: %v", location, err)
		}
	}
	dir := t.TempDir()
	s, err := Open(t.Context(), "file://"+dir)
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
	if has, err := s.HasArtifact(ctx, sum); has || err != nil {
		t.Fatalf("after a refused artifact: has %v, %v", has, err)
	}
	if _, err := s.OpenArtifact(ctx, sum); !errors.Is(err, ErrNotFound) {
		t.Fatalf("open what is not there: %v", err)
	}
	if err := s.PutArtifact(ctx, sum, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutArtifact(ctx, sum, failingReader{}); err != nil {
		t.Fatalf("storing it again: %v, want nothing to be read", err)
	}
	f, err := s.OpenArtifact(ctx, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, _ := io.ReadAll(f); string(got) != content {
		t.Errorf("read %q", got)
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
		if _, err := s.Graph(t.Context(), name); err == nil {
			t.Errorf("graph %q was read", name)
		}
		if _, err := s.Outputs(t.Context(), name); err == nil {
			t.Errorf("outputs %q were read", name)
		}
	}
}

func TestRacingIncarnationsHaveOneWinner(t *testing.T) {
	s := unused(t)
	if _, err := s.Incarnation(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Fatalf("new storage: %v, want ErrNotFound", err)
	}
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = s.CreateIncarnation(t.Context(), string(rune('a'+i))); err != nil {
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

// full is a store in which nothing more has room.
type full struct{ objects.Store }

func (full) Create(context.Context, string, func(io.Writer) error) (bool, error) {
	return false, syscall.ENOSPC
}

// TestAPlanIsStoredOnce: a job that restarts in a full storage needs nothing of it that is not there.
func TestAPlanIsStoredOnce(t *testing.T) {
	s, g := open(t), &job.Graph{Name: "wordcount", MaxParallelism: 256}
	hash, err := s.PutGraph(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	without := Over(full{s.objects})
	if again, err := without.PutGraph(t.Context(), g); err != nil || again != hash {
		t.Errorf("again: %s, %v", again, err)
	}
	if _, err := without.PutGraph(t.Context(), &job.Graph{Name: "another", MaxParallelism: 256}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("another: %v", err)
	}
}

func TestDocuments(t *testing.T) { documents(t, open(t)) }

func documents(t *testing.T, s *Storage) {
	t.Helper()
	g := &job.Graph{Name: "wordcount", Vertices: []job.Vertex{{Name: "lines", Parallelism: 2}}, MaxParallelism: 128}
	hash, err := s.PutGraph(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := s.Graph(t.Context(), hash); err != nil || back.Hash() != hash {
		t.Errorf("graph: %+v, %v", back, err)
	}
	blob, err := s.PutIntent(t.Context(), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Intent(t.Context(), blob); err != nil || string(b) != "{}" {
		t.Errorf("intent: %q, %v", b, err)
	}

	id := job.NewID()
	list := []job.Output{{Temp: "/out/.a", Final: "/out/a"}}
	for range 2 { // a successor stores the same list again
		name, err := s.PutOutputs(t.Context(), id, 3, list)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := s.Outputs(t.Context(), name); err != nil || len(back) != 1 || back[0] != list[0] {
			t.Errorf("outputs: %v, %v", back, err)
		}
	}
	first, err := s.PutOutputs(t.Context(), id, 3, list)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := s.PutOutputs(t.Context(), id, 3, nil); err != nil || other == first {
		t.Errorf("another list: %q, %v, the first is %q", other, err, first)
	}
	if back, err := s.Outputs(t.Context(), first); err != nil || len(back) != 1 {
		t.Errorf("beside another one: %v, %v", back, err)
	}
}

// What jobs share is listed and removed by name; nothing else is.
func TestShared(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hash, err := s.PutGraph(t.Context(), &job.Graph{Name: "g"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateIncarnation(t.Context(), "cluster"); err != nil {
		t.Fatal(err)
	}
	list, err := s.ListShared(t.Context())
	if err != nil || len(list) != 1 || list[0] != GraphName(hash) {
		t.Fatalf("%q, %v", list, err)
	}
	for _, name := range []string{"cluster/incarnation", "graphs/x", "graphs/../cluster/incarnation", "", "artifacts"} {
		if err := s.DeleteShared(t.Context(), name); !errors.Is(err, ErrName) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	for range 2 {
		if err := s.DeleteShared(t.Context(), GraphName(hash)); err != nil {
			t.Error(err)
		}
	}
	if list, err := s.ListShared(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%q, %v", list, err)
	}
}
