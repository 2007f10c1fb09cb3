package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage/objects"
	"github.com/perennial-io/perennial/internal/tests3"
)

// saved is a checkpoint of two states, one of them in its manifest.
func saved(t *testing.T, s *Storage) (*checkpoint.Manifest, *job.Graph) {
	t.Helper()
	id := job.NewID()
	large := putState(t, s, id, "a large state")
	small := InlineState(job.StateHandle{Operator: "small"}, []byte("tiny"))
	m := someManifest(id)
	m.Subtasks = []job.Acknowledgement{{
		Checkpoint: m.Checkpoint, States: []job.StateHandle{large, small},
		Outputs: []job.OperatorOutput{{Operator: "out", Output: job.Output{Temp: "/x/.a", Final: "/x/a"}}},
	}}
	return m, &job.Graph{Name: "test", MaxParallelism: 256, Vertices: []job.Vertex{{Name: "v", Parallelism: 1}}}
}

func putSavepoint(t *testing.T, s *Storage, dir string, m *checkpoint.Manifest, g *job.Graph) string {
	t.Helper()
	location, size, err := s.PutSavepoint(t.Context(), dir, "test-1", m, g)
	if err != nil || size != m.Size() {
		t.Fatalf("%d bytes, %v", size, err)
	}
	return location
}

// noLinks is a place to which files have to be copied.
type noLinks struct{ objects.Store }

// A savepoint is whole in itself: it outlives the checkpoint, and can be moved. Made twice it is made once.
func TestSavepointIsWholeInItself(t *testing.T) {
	s, dir := open(t), t.TempDir()
	m, g := saved(t, s)
	location := putSavepoint(t, s, dir, m, g)
	if again := putSavepoint(t, s, dir, m, g); again != location || location != filepath.Join(dir, "test-1") {
		t.Errorf("it is at %s, and then at %s", location, again)
	}
	if err := s.DeleteCheckpoint(t.Context(), m.Job, m.Checkpoint, m.Attempt); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(location, moved); err != nil {
		t.Fatal(err)
	}
	holds(t, moved)
}

// holds demands that there is what saved has made.
func holds(t *testing.T, location string) {
	t.Helper()
	p, err := OpenSavepoint(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Outputs()) > 0 || p.JobName != "test" || p.Location() != location {
		t.Errorf("got %+v", p.Savepoint)
	}
	for i, want := range []string{"a large state", "tiny"} {
		b, err := p.ReadState(t.Context(), p.Subtasks[0].States[i])
		if err != nil || string(b) != want {
			t.Errorf("state %d is %q, %v", i, b, err)
		}
	}
}

func TestSavepointWhereNothingCanBeLinked(t *testing.T) {
	s, dir := open(t), t.TempDir()
	m, _ := saved(t, s)
	to, err := OpenObjects(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	h := m.Subtasks[0].States[0]
	for range 2 {
		if err := s.copyState(t.Context(), noLinks{to}, "x", h); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "x", relative(h.File)))
	if err != nil || string(b) != "a large state" {
		t.Errorf("got %q, %v", b, err)
	}
}

// Damage is not handed on: a savepoint of it would be found bad when it is needed.
func TestSavepointOfADamagedCheckpoint(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a flipped bit":  func(path string) error { return os.WriteFile(path, []byte("a larGe state"), 0o644) },
		"truncated":      func(path string) error { return os.Truncate(path, 3) },
		"a missing file": os.Remove,
	} {
		s, dir := open(t), t.TempDir()
		m, g := saved(t, s)
		if err := spoil(filepath.Join(s.Dir(), m.Subtasks[0].States[0].File)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.PutSavepoint(t.Context(), dir, "test-1", m, g); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := OpenSavepoint(t.Context(), filepath.Join(dir, "test-1")); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: there is a savepoint: %v", name, err)
		}
	}
}

func TestOpenSavepointSaysWhatIsWrong(t *testing.T) {
	s := open(t)
	for name, c := range map[string]struct {
		spoil func(location string) error
		is    error
		says  string
	}{
		"nothing there":          {os.RemoveAll, ErrDamaged, "is no savepoint: there is nothing on host "},
		"no manifest":            {func(l string) error { return os.Remove(filepath.Join(l, savepointManifest)) }, ErrDamaged, `it has no "savepoint"`},
		"a file":                 {instead, ErrDamaged, "is a file, and a savepoint is a directory; name the directory"},
		"a truncated manifest":   {func(l string) error { return os.Truncate(filepath.Join(l, savepointManifest), 20) }, ErrDamaged, "truncated"},
		"of a newer version":     {newer, ErrNewer, "the release that wrote it, or a later one"},
		"another file's content": {func(l string) error { return os.WriteFile(filepath.Join(l, savepointManifest), []byte("{}"), 0o644) }, ErrDamaged, "checksum"},
	} {
		m, g := saved(t, s)
		location := putSavepoint(t, s, t.TempDir(), m, g)
		if err := c.spoil(location); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSavepoint(t.Context(), location); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), location) {
			t.Errorf("%s: %v; want %v, and it to say %q", name, err, c.is, c.says)
		}
	}
	if _, err := OpenSavepoint(t.Context(), "ftp://host/x"); !errors.Is(err, ErrDamaged) || !strings.HasPrefix(err.Error(), "ftp:// is not known here") {
		t.Errorf("of an unknown scheme: %v", err)
	}
	none := t.TempDir()
	if _, err := OpenSavepoint(t.Context(), none); err == nil || !strings.HasPrefix(err.Error(), none+" is no savepoint: ") {
		t.Errorf("%v; what is no savepoint is no damaged checkpoint to a person", err)
	}
}

// A savepoint in a bucket, where nobody says where and on the same server where somebody says, is found by the
// location that was told.
func TestSavepointInABucket(t *testing.T) {
	t.Parallel()
	s, server := inBucket(t)
	if _, err := s.CreateIncarnation(t.Context(), "of the test"); err != nil {
		t.Fatal(err)
	}
	m, g := saved(t, s)
	for _, dir := range []string{s.SavepointDir(), "s3://" + tests3.Bucket + "/elsewhere/", t.TempDir()} {
		location := putSavepoint(t, s, dir, m, g)
		if inBucket := strings.HasPrefix(dir, "s3://"); inBucket && !strings.Contains(location, "/test-1?endpoint=") || strings.Contains(location, "//test") {
			t.Errorf("%s: it is at %s, on %s", dir, location, server.Endpoint())
		}
		holds(t, location)
	}
}

// instead puts a file where the savepoint was.
func instead(location string) error {
	return errors.Join(os.RemoveAll(location), os.WriteFile(location, nil, 0o644))
}

// newer makes the manifest one of the version after this one.
func newer(location string) error {
	path := filepath.Join(location, savepointManifest)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, resealed(strings.Replace(string(b), `"version":1`, `"version":2`, 1)), 0o644)
}

// A state that is missing or changed is found when it is read.
func TestSavepointFindsEveryDamage(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a flipped bit":  func(path string) error { return os.WriteFile(path, []byte("a larGe state"), 0o644) },
		"truncated":      func(path string) error { return os.Truncate(path, 3) },
		"a missing file": os.Remove,
	} {
		s := open(t)
		m, g := saved(t, s)
		p, err := OpenSavepoint(t.Context(), putSavepoint(t, s, t.TempDir(), m, g))
		if err != nil {
			t.Fatal(err)
		}
		h := p.Subtasks[0].States[0]
		if err := spoil(filepath.Join(p.Location(), h.File)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ReadState(t.Context(), h); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnotherSavepointIsInTheWay(t *testing.T) {
	s, dir := open(t), t.TempDir()
	m, g := saved(t, s)
	putSavepoint(t, s, dir, m, g)
	other, g := saved(t, s)
	if _, _, err := s.PutSavepoint(t.Context(), dir, "test-1", other, g); err == nil || !strings.Contains(err.Error(), "name another directory") {
		t.Errorf("got %v", err)
	}
}

// resealed gives a changed manifest a right checksum.
func resealed(manifest string) []byte {
	text := manifest[:len(manifest)-len("01234567\n")]
	return fmt.Appendf(nil, "%s%08x\n", text, crc32.Checksum([]byte(text[:len(text)-1]), castagnoli))
}
