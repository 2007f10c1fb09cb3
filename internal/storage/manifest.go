package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// ErrNewer says that a manifest is whole, and of a format that this program does not know.
var ErrNewer = checkpoint.ErrNewer

// manifestPrefix begins the names of manifests. The epoch follows: two leaders may find the same
// checkpoint complete, at different times, and one of them commits the name of its own.
const manifestPrefix = "manifest-"

func isManifest(name string) bool { return strings.HasPrefix(name, manifestPrefix) }

func manifestPlace(m *checkpoint.Manifest) place {
	return place{m.Job, m.Checkpoint, m.Attempt, manifestPrefix + strconv.FormatUint(m.Epoch, 10)}
}

// PutManifest stores m and returns its name. A second one of the same checkpoint and epoch must be
// equal.
func (s *Storage) PutManifest(m *checkpoint.Manifest) (name string, err error) {
	p, b := manifestPlace(m), m.Encode()
	// The checkpoint before is given up for this one, which therefore must be one that can be read.
	if _, err := checkpoint.Decode(b); err != nil {
		return "", fmt.Errorf("store manifest %s: %w", p, err)
	}
	if err := s.makeCheckpointDir(p); err != nil {
		return "", fmt.Errorf("store manifest %s: %w", p, err)
	}
	created, err := s.createVia(p.dir(), p.dir(), p.name, 0o644, func(w io.Writer) error { _, err := w.Write(b); return err })
	if err != nil {
		return "", fmt.Errorf("store manifest %s: %w", p, err)
	}
	if created {
		return p.String(), nil
	}
	stored, err := os.ReadFile(filepath.Join(s.dir, p.String()))
	if err == nil && !bytes.Equal(stored, b) {
		err = fmt.Errorf("manifest %s: another one is stored already", p)
	}
	return p.String(), err
}

// Manifest reads the manifest with this name. It fails with ErrDamaged when it is not there as it
// was written, and with ErrNewer when this program is too old for it.
func (s *Storage) Manifest(name string) (*checkpoint.Manifest, error) {
	p, err := parsePlace(name)
	if err == nil && !isManifest(p.name) {
		err = fmt.Errorf("%w: %q is no manifest's", ErrName, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, p.String()))
	if err != nil {
		return nil, s.unreadable("manifest", p, err)
	}
	m, err := checkpoint.Decode(b)
	if errors.Is(err, ErrNewer) {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	if err == nil && manifestPlace(m) != p {
		err = fmt.Errorf("it is that of %s", manifestPlace(m))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, p, err)
	}
	return m, nil
}

// CheckpointDir names the directory of what one attempt wrote for one checkpoint.
type CheckpointDir = checkpoint.Dir

// Refers are the directories in which the states that m names are.
func Refers(m *checkpoint.Manifest) ([]CheckpointDir, error) {
	var dirs []CheckpointDir
	for _, ack := range m.Subtasks {
		for _, h := range ack.States {
			if h.File == "" {
				continue
			}
			p, err := parsePlace(h.File)
			if err != nil {
				return nil, err
			}
			if d := (CheckpointDir{Checkpoint: p.checkpoint, Attempt: p.attempt}); !slices.Contains(dirs, d) {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs, nil
}

// ListCheckpoints lists what there is of a job's checkpoints, whole or not.
func (s *Storage) ListCheckpoints(id job.ID) ([]CheckpointDir, error) {
	if _, err := job.ParseID(string(id)); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.path(stateDir, string(id)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints of %s: %w", id, err)
	}
	var dirs []CheckpointDir
	for _, e := range entries {
		if d, ok := parseDirName(e.Name()); ok && e.IsDir() {
			dirs = append(dirs, d)
		}
	}
	return dirs, nil
}

// DeleteCheckpoint removes what the attempt wrote for the checkpoint, if there is any. The caller
// has seen that the id is closed and that no manifest refers to it (R13).
func (s *Storage) DeleteCheckpoint(id job.ID, checkpoint job.CheckpointID, attempt job.Attempt) error {
	p := place{id, checkpoint, attempt, manifestPrefix}
	if err := p.check(); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, p.dir())
	err := removeManifests(dir)
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", p.dir(), err)
	}
	return nil
}

// removeManifests comes first, and durably: a checkpoint that is deleted in part never looks whole.
func removeManifests(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if isManifest(e.Name()) {
			// Another process may be deleting it too.
			if gone := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	if err == nil {
		err = syncDir(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
