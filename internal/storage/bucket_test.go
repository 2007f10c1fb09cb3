package storage

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/tests3"
)

func TestMain(m *testing.M) {
	tests3.Setenv()
	os.Exit(m.Run())
}

// inBucket is a storage on a server, and that.
func inBucket(t *testing.T) (*Storage, *tests3.Server) {
	t.Helper()
	server := tests3.Start(t)
	s, err := Open(t.Context(), S3{Endpoint: server.Endpoint()}.Complete("s3://"+tests3.Bucket+"/of/a/cluster"))
	if err != nil {
		t.Fatal(err)
	}
	return s, server
}

// TestEverythingInABucket does what a cluster does, once.
func TestEverythingInABucket(t *testing.T) {
	t.Parallel()
	s, _ := inBucket(t)
	ctx, id := t.Context(), job.NewID()
	if _, err := s.Incarnation(ctx); !errors.Is(err, ErrNotFound) {
		t.Fatalf("new storage: %v, want ErrNotFound", err)
	}
	for _, incarnation := range []string{"first", "second"} {
		if got, err := s.CreateIncarnation(ctx, incarnation); err != nil || got != "first" {
			t.Errorf("%q, %v", got, err)
		}
	}
	binary := strings.Repeat("a job binary", 1<<20) // in parts
	if err := s.PutArtifact(ctx, sumOf(binary), strings.NewReader("something else")); !errors.Is(err, ErrHash) {
		t.Errorf("other bytes: %v", err)
	}
	if has, err := s.HasArtifact(ctx, sumOf(binary)); has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	if err := s.PutArtifact(ctx, sumOf(binary), strings.NewReader(binary)); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenArtifact(ctx, sumOf(binary))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != binary {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	documents(t, s)
	want := []CheckpointDir{{Checkpoint: 1, Attempt: 1}, {Checkpoint: 11, Attempt: 1}, {Checkpoint: 2, Attempt: 1}}
	for _, d := range want {
		checkpointOf(t, s, id, d)
	}
	if dirs, err := s.ListCheckpoints(ctx, id); err != nil || !slices.Equal(dirs, want) {
		t.Errorf("%v, %v", dirs, err)
	}
	for range 2 {
		if err := s.DeleteCheckpoint(ctx, id, 11, 1); err != nil {
			t.Error(err)
		}
		if dirs, err := s.ListCheckpoints(ctx, id); err != nil || !slices.Equal(dirs, []CheckpointDir{want[0], want[2]}) {
			t.Errorf("after it: %v, %v", dirs, err)
		}
	}
}

// checkpointOf stores a checkpoint of one state, and reads it again.
func checkpointOf(t *testing.T, s *Storage, id job.ID, d CheckpointDir) (state job.StateHandle, manifest string) {
	t.Helper()
	ctx, content := t.Context(), strings.Repeat("state", 100_000)
	file, size, crc, err := s.PutState(ctx, id, d.Checkpoint, d.Attempt, "state-0-0-0", writing(content))
	if err != nil {
		t.Fatal(err)
	}
	state = job.StateHandle{File: file, Size: size, CRC: crc}
	if b, err := s.ReadState(ctx, state); err != nil || string(b) != content {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	m := someManifest(id)
	m.Checkpoint, m.Attempt, m.Subtasks = d.Checkpoint, d.Attempt, nil
	if manifest, err = s.PutManifest(ctx, m); err != nil {
		t.Fatal(err)
	}
	if back, err := s.Manifest(ctx, manifest); err != nil || back.Checkpoint != d.Checkpoint {
		t.Errorf("%+v, %v", back, err)
	}
	return state, manifest
}

// TestDamageInABucket: what is missing or changed there is damage, and a server that fails is not.
func TestDamageInABucket(t *testing.T) {
	t.Parallel()
	s, server := inBucket(t)
	if _, err := s.CreateIncarnation(t.Context(), "of the test"); err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string]func(path string) error{
		"missing":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 5) },
		"flipped": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 4
			return os.WriteFile(path, b, 0o600)
		},
	} {
		state, manifest := checkpointOf(t, s, job.NewID(), CheckpointDir{Checkpoint: 1, Attempt: 1})
		for _, name := range []string{state.File, manifest} {
			if err := damage(server.Path("of/a/cluster/" + name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.ReadState(t.Context(), state); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), state.File) {
			t.Errorf("state, %s: %v", what, err)
		}
		if _, err := s.Manifest(t.Context(), manifest); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), manifest) {
			t.Errorf("manifest, %s: %v", what, err)
		}
	}
	state, manifest := checkpointOf(t, s, job.NewID(), CheckpointDir{Checkpoint: 1, Attempt: 1})
	isAway := func(what string, ctx context.Context) {
		if _, err := s.ReadState(ctx, state); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: state: %v", what, err)
		}
		if _, err := s.Manifest(ctx, manifest); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: manifest: %v", what, err)
		}
	}
	server.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	isAway("frozen", ctx)
	server.Thaw()
	if err := os.Rename(filepath.Join(server.Path("of"), "a"), server.Path("gone")); err != nil {
		t.Fatal(err)
	}
	isAway("another bucket, or an emptied one", t.Context())
	if err := os.Rename(server.Path(""), server.Path("")+"-gone"); err != nil {
		t.Fatal(err)
	}
	isAway("no bucket", t.Context())
}
