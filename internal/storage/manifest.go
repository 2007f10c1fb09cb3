package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage/objects"
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
func (s *Storage) PutManifest(ctx context.Context, m *checkpoint.Manifest) (name string, err error) {
	p, b := manifestPlace(m), m.Encode()
	// The checkpoint before is given up for this one, which therefore must be one that can be read.
	if _, err := checkpoint.Decode(b); err != nil {
		return "", fmt.Errorf("store manifest %s: %w", p, err)
	}
	created, err := s.objects.Create(ctx, p.String(), objects.Write(b))
	if err != nil {
		return "", fmt.Errorf("store manifest %s: %w", p, err)
	}
	if created {
		return p.String(), nil
	}
	stored, err := objects.Read(ctx, s.objects, p.String(), maxDocument)
	if err == nil && !bytes.Equal(stored, b) {
		err = fmt.Errorf("manifest %s: another one is stored already", p)
	}
	return p.String(), err
}

// Manifest reads the manifest with this name. It fails with ErrDamaged when it is not there as it
// was written, and with ErrNewer when this program is too old for it.
func (s *Storage) Manifest(ctx context.Context, name string) (*checkpoint.Manifest, error) {
	p, err := parsePlace(name)
	if err == nil && !isManifest(p.name) {
		err = fmt.Errorf("%w: %q is no manifest's", ErrName, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	b, err := objects.Read(ctx, s.objects, p.String(), maxDocument)
	if err != nil {
		return nil, s.unreadable(ctx, "manifest", p, err)
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
func (s *Storage) ListCheckpoints(ctx context.Context, id job.ID) ([]CheckpointDir, error) {
	if _, err := job.ParseID(string(id)); err != nil {
		return nil, err
	}
	names, err := s.objects.List(ctx, path.Join(stateDir, string(id)))
	if err != nil {
		return nil, fmt.Errorf("list checkpoints of %s: %w", id, err)
	}
	var dirs []CheckpointDir
	for _, name := range names {
		d, ok := parseDirName(path.Base(name))
		if ok && strings.HasSuffix(name, "/") {
			dirs = append(dirs, d)
		}
	}
	return dirs, nil
}

// DeleteCheckpoint removes what the attempt wrote for the checkpoint, if there is any. The caller
// has seen that the id is closed and that no manifest refers to it (R13). The manifests go first: a checkpoint
// that is deleted in part never looks whole.
func (s *Storage) DeleteCheckpoint(ctx context.Context, id job.ID, checkpoint job.CheckpointID, attempt job.Attempt) error {
	p := place{id, checkpoint, attempt, manifestPrefix}
	if err := p.check(); err != nil {
		return err
	}
	err := s.deleteManifests(ctx, p.dir())
	failpoint.LeaderUnlists.Reached()
	if err == nil {
		err = s.objects.DeleteAll(ctx, p.dir())
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", p.dir(), err)
	}
	return nil
}

func (s *Storage) deleteManifests(ctx context.Context, dir string) error {
	names, err := s.objects.List(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isManifest(path.Base(name)) {
			err = errors.Join(err, s.objects.Delete(ctx, name))
		}
	}
	return err
}
