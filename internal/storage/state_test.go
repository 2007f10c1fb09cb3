package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

func writing(content string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, content); return err }
}

func putState(t *testing.T, s *Storage, id job.ID, content string) job.StateHandle {
	t.Helper()
	file, size, crc, err := s.PutState(context.Background(), id, 7, 2, "state-0-0-0", writing(content))
	if err != nil {
		t.Fatal(err)
	}
	return job.StateHandle{Operator: "count", File: file, Size: size, CRC: crc}
}

func TestStateIsStoredOnceAndReadBack(t *testing.T) {
	s, ctx, id := open(t), context.Background(), job.NewID()
	content := strings.Repeat("0123456789", 100_000) // several buffers
	h := putState(t, s, id, content)
	if want := "checkpoints/" + string(id) + "/chk-7-2/state-0-0-0"; h.File != want || h.Size != 1_000_000 || h.CRC != crc32.Checksum([]byte(content), castagnoli) {
		t.Errorf("%+v, want %s", h, want)
	}
	elsewhere, err := Open(ctx, s.Location())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := elsewhere.ReadState(ctx, h); err != nil || string(b) != content {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, _, _, err := s.PutState(ctx, id, 7, 2, "state-0-0-0", writing("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("stored twice: %v", err)
	}
	if b, err := s.ReadState(ctx, h); err != nil || string(b) != content {
		t.Errorf("after another one was refused: %d bytes, %v", len(b), err)
	}
	if entries, _ := os.ReadDir(filepath.Join(s.Dir(), filepath.Dir(h.File))); len(entries) != 1 {
		t.Errorf("left in the directory: %v", entries)
	}
	if _, _, _, err := s.PutState(ctx, id, 7, 2, "empty", writing("")); err != nil {
		t.Error(err)
	}
}

func TestAStateThatFailsLeavesNothing(t *testing.T) {
	s, id := open(t), job.NewID()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	full := errors.New("full")
	if _, _, _, err := s.PutState(ctx, id, 1, 1, "a", func(io.Writer) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	for _, content := range []string{"", "x", strings.Repeat("x", 2*stateBuffer)} {
		write := func(w io.Writer) error { cancel(); return writing(content)(w) }
		if _, _, _, err := s.PutState(ctx, id, 1, 1, "a", write); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before %d bytes: %v", len(content), err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(s.Dir(), stateDir, string(id)+"/chk-1-1")); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestReadStateFindsEveryDamage(t *testing.T) {
	const content = "some state"
	inline := job.StateHandle{Operator: "count", Data: []byte(content), Size: 10, CRC: crc32.Checksum([]byte(content), castagnoli)}
	for name, c := range map[string]struct {
		damage func(file string, h *job.StateHandle)
		says   string
	}{
		"truncated":         {func(f string, _ *job.StateHandle) { os.Truncate(f, 4) }, "4 bytes, 10 were"},
		"longer":            {func(f string, _ *job.StateHandle) { os.Truncate(f, 11) }, "11 bytes, 10 were"},
		"other bytes":       {func(f string, _ *job.StateHandle) { os.WriteFile(f, []byte("some stole"), 0o600) }, "CRC-32C"},
		"missing":           {func(f string, _ *job.StateHandle) { os.Remove(f) }, "missing"},
		"a directory":       {func(f string, _ *job.StateHandle) { os.Remove(f); os.Mkdir(f, 0o700) }, "missing"},
		"negative":          {func(_ string, h *job.StateHandle) { h.Size = -1 }, "-1 were"},
		"inline, truncated": {func(_ string, h *job.StateHandle) { *h = inline; h.Data = h.Data[:9] }, "9 bytes, 10 were"},
		"inline, flipped":   {func(_ string, h *job.StateHandle) { *h = inline; h.CRC++ }, "operator count has CRC-32C"},
	} {
		s := open(t)
		h := putState(t, s, job.NewID(), content)
		c.damage(filepath.Join(s.Dir(), h.File), &h)
		if _, err := s.ReadState(context.Background(), h); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), h.File) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := open(t).ReadState(context.Background(), inline); err != nil || string(b) != content {
		t.Errorf("inline: %q, %v", b, err)
	}
}

func TestOpenStateFindsEveryDamage(t *testing.T) {
	s, ctx := open(t), context.Background()
	h := putState(t, s, job.NewID(), "0123456789")
	read := func(h job.StateHandle) (string, error) {
		r, err := s.OpenState(ctx, h)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	if got, err := read(h); got != "0123456789" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := read(InlineState(job.StateHandle{}, []byte("in line"))); got != "in line" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	for name, content := range map[string]string{"shorter": "012345678", "longer": "01234567890", "flipped": "0123456788", "empty": ""} {
		if err := os.WriteFile(filepath.Join(s.Dir(), h.File), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := read(h); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.Remove(filepath.Join(s.Dir(), h.File))
	if _, err := read(h); !errors.Is(err, ErrDamaged) {
		t.Errorf("missing: %v", err)
	}
}

func TestRefersNamesEachDirectoryOnce(t *testing.T) {
	s, id := open(t), job.NewID()
	h := putState(t, s, id, "x")
	other := h
	other.File = strings.Replace(h.File, "chk-7-2", "chk-5-1", 1)
	m := &checkpoint.Manifest{Subtasks: []job.Acknowledgement{{States: []job.StateHandle{h, {Data: []byte("in line")}, other}}, {States: []job.StateHandle{other}}}}
	if dirs, err := Refers(m); err != nil || !slices.Equal(dirs, []CheckpointDir{{Checkpoint: 7, Attempt: 2}, {Checkpoint: 5, Attempt: 1}}) {
		t.Errorf("%v, %v", dirs, err)
	}
	m.Subtasks[0].States[0].File = "elsewhere"
	if _, err := Refers(m); err == nil {
		t.Error("a file of no checkpoint was taken for one")
	}
}

func TestAStorageThatIsAwayIsNoDamage(t *testing.T) {
	s := open(t)
	h := putState(t, s, job.NewID(), "x")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.ReadState(ctx, h); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.RemoveAll(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadState(context.Background(), h); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("state: %v", err)
	}
	if _, err := s.Manifest(context.Background(), filepath.Dir(h.File)+"/manifest-1"); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("manifest: %v", err)
	}
}

func TestNoNameLeavesTheCheckpoints(t *testing.T) {
	s, ctx, id := open(t), context.Background(), job.NewID()
	if _, err := s.CreateIncarnation(context.Background(), "x"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", "../x", `a\b`, "A", "ä", "manifest-1"} {
		if _, _, _, err := s.PutState(ctx, id, 1, 1, name, writing("x")); !errors.Is(err, ErrName) {
			t.Errorf("state %q: %v", name, err)
		}
	}
	for _, bad := range []place{{"", 1, 1, "a"}, {"..", 1, 1, "a"}, {id, 0, 1, "a"}, {id, 1, 0, "a"}} {
		if _, _, _, err := s.PutState(ctx, bad.job, bad.checkpoint, bad.attempt, bad.name, writing("x")); !errors.Is(err, ErrName) {
			t.Errorf("state %v: %v", bad, err)
		}
		if err := s.DeleteCheckpoint(context.Background(), bad.job, bad.checkpoint, bad.attempt); !errors.Is(err, ErrName) {
			t.Errorf("delete %v: %v", bad, err)
		}
	}
	in := "checkpoints/" + string(id)
	for _, file := range []string{"/etc/passwd", "cluster/incarnation", in + "/chk-1-1/../../../cluster/incarnation", in + "/../../cluster/incarnation", in + "/chk-1-1/..",
		in + "/chk-01-1/a", in + "/chk-1-1x/a", in + "/chk-1/a", "../" + in + "/chk-1-1", in + "/chk--1-1/a", in + "/chk-1-1/", "outputs/" + string(id) + "/chk-1-1/a"} {
		if _, err := s.ReadState(ctx, job.StateHandle{File: file, Size: 2}); !errors.Is(err, ErrName) || !errors.Is(err, ErrDamaged) {
			t.Errorf("read %q: %v", file, err)
		}
		if _, err := s.Manifest(context.Background(), file); !errors.Is(err, ErrName) || !errors.Is(err, ErrDamaged) {
			t.Errorf("manifest %q: %v", file, err)
		}
	}
}

func someManifest(id job.ID) *checkpoint.Manifest {
	return &checkpoint.Manifest{Job: id, Checkpoint: 7, Epoch: 3, Attempt: 2, GraphHash: "abc",
		Subtasks: []job.Acknowledgement{{Checkpoint: 7, States: []job.StateHandle{{Operator: "count", Data: []byte("x"), Size: 1}}}}}
}

func TestManifestsOfTwoLeaders(t *testing.T) {
	s, id := open(t), job.NewID()
	m := someManifest(id)
	for range 2 { // a leader may repeat itself
		if name, err := s.PutManifest(context.Background(), m); err != nil || name != "checkpoints/"+string(id)+"/chk-7-2/manifest-3" {
			t.Fatalf("%q, %v", name, err)
		}
	}
	other := someManifest(id)
	other.GraphHash = "def"
	if _, err := s.PutManifest(context.Background(), other); err == nil {
		t.Error("a different manifest of the same epoch was accepted")
	}
	other.Epoch = 4
	name, err := s.PutManifest(context.Background(), other)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := s.Manifest(context.Background(), name); err != nil || back.GraphHash != "def" || back.Size() != 1 {
		t.Errorf("%+v, %v", back, err)
	}
	other.Subtasks[0].Failure = "disk full"
	other.Epoch = 5
	if _, err := s.PutManifest(context.Background(), other); err == nil {
		t.Error("a manifest that cannot be read back was stored")
	}
}

func TestManifestFindsEveryDamage(t *testing.T) {
	moved := someManifest(job.NewID()).Encode() // whole, and of another job
	for what, damage := range map[string]func(file string, b []byte){
		"truncated": func(f string, b []byte) { os.Truncate(f, int64(len(b)/2)) },
		"empty":     func(f string, _ []byte) { os.Truncate(f, 0) },
		"flipped":   func(f string, b []byte) { b[len(b)/2] ^= 4; os.WriteFile(f, b, 0o600) },
		"missing":   func(f string, _ []byte) { os.Remove(f) },
		"moved":     func(f string, _ []byte) { os.WriteFile(f, moved, 0o600) },
	} {
		s := open(t)
		m := someManifest(job.NewID())
		name, err := s.PutManifest(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		damage(filepath.Join(s.Dir(), name), m.Encode())
		if _, err := s.Manifest(context.Background(), name); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestANewerManifestIsNotDamaged(t *testing.T) {
	s := open(t)
	name, err := s.PutManifest(context.Background(), someManifest(job.NewID()))
	if err != nil {
		t.Fatal(err)
	}
	const newer = "{\"version\":2}\n"
	sealed := fmt.Appendf(nil, "%s%08x\n", newer, crc32.Checksum([]byte(newer[:len(newer)-1]), castagnoli))
	if err := os.WriteFile(filepath.Join(s.Dir(), name), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Manifest(context.Background(), name); !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want ErrNewer", err)
	}
}

func TestDeleteRemovesExactlyOneCheckpoint(t *testing.T) {
	s, ctx, id := open(t), context.Background(), job.NewID()
	if dirs, err := s.ListCheckpoints(context.Background(), id); err != nil || len(dirs) != 0 {
		t.Fatalf("a job without checkpoints: %v, %v", dirs, err)
	}
	want := []CheckpointDir{{Checkpoint: 1, Attempt: 1}, {Checkpoint: 1, Attempt: 2}, {Checkpoint: 11, Attempt: 2}}
	for _, d := range want {
		if _, _, _, err := s.PutState(ctx, id, d.Checkpoint, d.Attempt, "a", writing("x")); err != nil {
			t.Fatal(err)
		}
		m := someManifest(id)
		m.Checkpoint, m.Attempt, m.Subtasks = d.Checkpoint, d.Attempt, nil
		if _, err := s.PutManifest(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.Dir(), stateDir, string(id)+"/lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if dirs, err := s.ListCheckpoints(context.Background(), id); err != nil || !slices.Equal(dirs, want) {
		t.Errorf("%v, %v", dirs, err)
	}
	for range 2 {
		if err := s.DeleteCheckpoint(context.Background(), id, 1, 2); err != nil {
			t.Fatal(err)
		}
		if dirs, err := s.ListCheckpoints(context.Background(), id); err != nil || !slices.Equal(dirs, []CheckpointDir{want[0], want[2]}) {
			t.Errorf("after it: %v, %v", dirs, err)
		}
	}
}
