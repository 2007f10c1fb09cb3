package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage/local"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// savepointManifest is the name of a savepoint's manifest: without it there is no savepoint.
const savepointManifest = "savepoint"

// SavepointDir is where savepoints go when nobody says where.
func (s *Storage) SavepointDir() string { return below(s.location, "savepoints") }

// below is a location within another, on the same server.
func below(location, name string) string {
	server := ""
	if i := strings.Index(location, "?"); i >= 0 && strings.HasPrefix(location, "s3://") {
		location, server = location[:i], location[i:]
	}
	return strings.TrimRight(location, "/") + "/" + name + server
}

// PutSavepoint copies all that m names to name below dir, a location as Beside takes it, and returns where
// that is and its size in bytes. What is there already of it stays: the copy of one checkpoint may be repeated.
func (s *Storage) PutSavepoint(ctx context.Context, dir, name string, m *checkpoint.Manifest, g *job.Graph) (location string, size int64, err error) {
	dir = s.Beside(dir)
	to, err := OpenObjects(ctx, dir)
	if err != nil {
		return "", 0, err
	}
	location = below(absolute(to, dir), name)
	for _, ack := range m.Subtasks {
		for _, h := range ack.States {
			size += h.Size
			if h.File == "" {
				continue
			}
			if err := s.copyState(ctx, to, name, h); err != nil {
				return "", 0, fmt.Errorf("savepoint %s: %w", location, err)
			}
		}
	}
	b := checkpoint.NewSavepoint(m, g, relative).Encode()
	if err := putSavepointManifest(ctx, to, path.Join(name, savepointManifest), b); err != nil {
		return "", 0, fmt.Errorf("savepoint %s: %w", location, err)
	}
	return location, size, nil
}

// relative makes one name of a place. Several checkpoints may have written files of one name.
func relative(file string) string {
	parts := strings.Split(file, "/")
	return strings.Join(parts[max(len(parts)-2, 0):], "-")
}

// linker is a place to which a file of another can come without its bytes being read and written.
type linker interface {
	Link(ctx context.Context, from objects.Store, file, name string) (linked bool)
}

// copyState copies one file. Damage is not handed on.
func (s *Storage) copyState(ctx context.Context, to objects.Store, name string, h job.StateHandle) error {
	p, err := parsePlace(h.File)
	if err != nil {
		return err
	}
	name = path.Join(name, relative(h.File))
	read := func(w io.Writer) error {
		r, err := s.OpenState(ctx, h)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, r)
		return err
	}
	if l, ok := to.(linker); ok {
		if err := read(io.Discard); err != nil {
			return err
		}
		if l.Link(ctx, s.objects, p.String(), name) {
			return nil
		}
	}
	_, err = to.Create(ctx, name, read)
	return err
}

func putSavepointManifest(ctx context.Context, to objects.Store, name string, b []byte) error {
	created, err := to.Create(ctx, name, objects.Write(b))
	if err != nil || created {
		return err
	}
	stored, err := objects.Read(ctx, to, name, maxDocument)
	if err == nil && !bytes.Equal(stored, b) {
		err = errors.New("another savepoint is there already: name another directory")
	}
	return err
}

// Savepoint is a savepoint that can be read.
type Savepoint struct {
	*checkpoint.Savepoint
	at       objects.Store
	location string
}

// OpenSavepoint reads what the savepoint at location consists of. It fails with ErrDamaged when that is no
// savepoint, or not as it was written, and with ErrNewer when this program is too old for it.
func OpenSavepoint(ctx context.Context, location string) (*Savepoint, error) {
	at, err := ObjectsAt(location)
	if err != nil {
		return nil, notSavepoint{err.Error()}
	}
	s := &Savepoint{at: at, location: absolute(at, location)}
	b, err := objects.Read(ctx, at, savepointManifest, maxDocument)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s.isNone(ctx)
	case errors.Is(err, syscall.ENOTDIR):
		return nil, notSavepoint{s.location + " is a file, and a savepoint is a directory; " + nameIt}
	case err != nil:
		return nil, fmt.Errorf("read savepoint %s: %w", s.location, err)
	}
	s.Savepoint, err = checkpoint.DecodeSavepoint(b)
	if errors.Is(err, ErrNewer) {
		return nil, fmt.Errorf("savepoint %s: %w; continue from it with the release that wrote it, or a later one", s.location, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: savepoint %s: %w", ErrDamaged, s.location, err)
	}
	return s, nil
}

// notSavepoint says why a location is none of a savepoint. Whoever restores it takes it as damage: it will not be one at the
// next try either.
type notSavepoint struct{ why string }

func (e notSavepoint) Error() string        { return e.why }
func (e notSavepoint) Is(target error) bool { return target == ErrDamaged }

// nameIt is what to do about a location that is none of a savepoint.
const nameIt = "name the directory that perennial savepoint or stop has printed"

// isNone says why there is no savepoint.
func (s *Savepoint) isNone(ctx context.Context) error {
	names, err := s.at.List(ctx, "")
	switch {
	case err != nil:
		return fmt.Errorf("read savepoint %s: %w", s.location, err)
	case len(names) > 0:
		return notSavepoint{fmt.Sprintf("%s is no savepoint: it has no %q; %s", s.location, savepointManifest, nameIt)}
	}
	where := "there is nothing"
	if _, ok := s.at.(*local.Store); ok { // each process looks for itself
		if host, err := os.Hostname(); err == nil {
			where += " on host " + host + " (is it mounted there?)"
		}
	}
	return notSavepoint{fmt.Sprintf("%s is no savepoint: %s; %s", s.location, where, nameIt)}
}

// ReadState returns the piece of state that h names, or fails with ErrDamaged.
func (s *Savepoint) ReadState(ctx context.Context, h job.StateHandle) ([]byte, error) {
	r, err := s.OpenState(ctx, h)
	return readWhole(r, h, err)
}

// OpenState reads the piece of state that h names, as Storage.OpenState does.
func (s *Savepoint) OpenState(ctx context.Context, h job.StateHandle) (io.ReadCloser, error) {
	if h.File == "" {
		return inlined(h)
	}
	r, err := openVerified(ctx, s.at, h.File, h)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, objects.ErrName) {
		err = fmt.Errorf("%w: %s is missing", ErrDamaged, below(s.location, h.File))
	}
	if err != nil {
		return nil, fmt.Errorf("savepoint %s: %w", s.location, err)
	}
	return r, nil
}

// Location is where it is.
func (s *Savepoint) Location() string { return s.location }
