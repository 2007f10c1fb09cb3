package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// savepointDir is where savepoints are that are made without a directory.
const savepointDir = "savepoints"

// savepointManifest is the name of a savepoint's manifest: without it there is no savepoint.
const savepointManifest = "savepoint"

// SavepointDir is where savepoints go when nobody says where.
func (s *Storage) SavepointDir() string { return filepath.Join(s.dir, savepointDir) }

// PutSavepoint copies all that m names into a new directory of dir, named by the caller, and returns that
// one's location and its size in bytes. What is there already of it is left: the copy of one checkpoint may
// be repeated.
func (s *Storage) PutSavepoint(ctx context.Context, dir, name string, m *checkpoint.Manifest, g *job.Graph) (location string, size int64, err error) {
	if location, err = LocalPath(dir); err != nil {
		return "", 0, err
	}
	location = filepath.Join(location, name)
	if err := os.MkdirAll(location, 0o755); err != nil {
		return "", 0, fmt.Errorf("make savepoint %s: %w", location, err)
	}
	for _, ack := range m.Subtasks {
		for _, h := range ack.States {
			size += h.Size
			if h.File == "" {
				continue
			}
			if err := s.copyState(ctx, location, h); err != nil {
				return "", 0, fmt.Errorf("make savepoint %s: %w", location, err)
			}
		}
	}
	b := checkpoint.NewSavepoint(m, g, relative).Encode()
	if err := s.putSavepointManifest(location, b); err != nil {
		return "", 0, fmt.Errorf("make savepoint %s: %w", location, err)
	}
	return location, size, nil
}

// relative makes one name of a place. Several checkpoints may have written files of one name.
func relative(file string) string {
	parts := strings.Split(file, "/")
	return strings.Join(parts[max(len(parts)-2, 0):], "-")
}

// copyState copies one file, and believes neither what is there nor what comes.
func (s *Storage) copyState(ctx context.Context, location string, h job.StateHandle) error {
	p, err := parsePlace(h.File)
	if err != nil {
		return err
	}
	from, to := filepath.Join(s.dir, p.String()), filepath.Join(location, relative(h.File))
	if info, err := os.Stat(to); err == nil && info.Size() == h.Size {
		return nil
	}
	copyTo := func(w io.Writer) error { return copyWhole(ctx, w, from, h) }
	if err := copyTo(io.Discard); err != nil { // damage is not to be handed on
		return err
	}
	if err := os.Link(from, to); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	_, err = createFile(location, to, copyTo) // another file system
	return err
}

// copyWhole writes the file to w, or fails with ErrDamaged if it is not what h says.
func copyWhole(ctx context.Context, w io.Writer, path string, h job.StateHandle) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing", ErrDamaged, path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	crc := crc32.New(castagnoli)
	n, err := io.Copy(io.MultiWriter(w, crc), io.LimitReader(contextReader{ctx, f}, h.Size+1))
	if err == nil && (n != h.Size || crc.Sum32() != h.CRC) {
		err = fmt.Errorf("%w: %s has %d bytes with CRC-32C %08x; %d with %08x were written", ErrDamaged, path, n, crc.Sum32(), h.Size, h.CRC)
	}
	return err
}

func (s *Storage) putSavepointManifest(location string, b []byte) error {
	to := filepath.Join(location, savepointManifest)
	if err := syncDir(location); err != nil { // the files come first
		return err
	}
	created, err := createFile(location, to, func(w io.Writer) error { _, err := w.Write(b); return err })
	if err != nil || created {
		return errors.Join(err, syncDir(filepath.Dir(location)))
	}
	stored, err := os.ReadFile(to)
	if err == nil && !bytes.Equal(stored, b) {
		err = errors.New("another savepoint is there already: name another directory")
	}
	return err
}

// createFile writes a file in dir, whole or not at all, unless its name is taken.
func createFile(dir, to string, fill func(io.Writer) error) (created bool, err error) {
	temp, err := os.CreateTemp(dir, ".savepoint-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	if err := writeSynced(temp, 0o644, fill); err != nil {
		return false, err
	}
	if err := os.Link(temp.Name(), to); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, syncDir(dir)
}

// Savepoint is a savepoint that can be read.
type Savepoint struct {
	*checkpoint.Savepoint
	location string
}

// OpenSavepoint reads what the savepoint at location consists of. It fails with ErrDamaged when that is no
// savepoint, or not as it was written, and with ErrNewer when this program is too old for it.
func OpenSavepoint(location string) (*Savepoint, error) {
	dir, err := LocalPath(location)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, savepointManifest))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !isDir(dir):
		return nil, fmt.Errorf("%w: there is no directory %s", ErrDamaged, dir)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is no savepoint: it has no file %q; name the directory that perennial savepoint or stop has printed", ErrDamaged, dir, savepointManifest)
	case err != nil:
		return nil, fmt.Errorf("read savepoint %s: %w", dir, err)
	}
	content, err := checkpoint.DecodeSavepoint(b)
	if errors.Is(err, ErrNewer) {
		return nil, fmt.Errorf("savepoint %s: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: savepoint %s: %w", ErrDamaged, dir, err)
	}
	return &Savepoint{content, dir}, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// ReadState returns the piece of state that h names, or fails with ErrDamaged.
func (s *Savepoint) ReadState(ctx context.Context, h job.StateHandle) ([]byte, error) {
	if h.File == "" {
		return (&Storage{}).ReadState(ctx, h)
	}
	var b bytes.Buffer
	path := filepath.Join(s.location, h.File)
	if info, err := os.Stat(path); err == nil && info.Size() == h.Size {
		b.Grow(int(h.Size)) // a wrong length must not cost its size in memory
	}
	if err := copyWhole(ctx, &b, path, h); err != nil {
		return nil, fmt.Errorf("savepoint %s: %w", s.location, err)
	}
	return b.Bytes(), nil
}

// Location is its directory.
func (s *Savepoint) Location() string { return s.location }

// LocalPath is the directory that a path or a file:// URL names.
func LocalPath(location string) (string, error) {
	if scheme, _, isURL := strings.Cut(location, "://"); isURL && scheme != "file" {
		return "", fmt.Errorf("savepoint %q: only a path or a file:/// URL can be used, not %s://", location, scheme)
	}
	path := location
	if strings.HasPrefix(location, "file://") {
		u, err := url.Parse(location)
		if err != nil || u.Host != "" && u.Host != "localhost" || u.Path == "" {
			return "", fmt.Errorf("savepoint %q is no file URL; expected file:///path", location)
		}
		path = u.Path
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("savepoint %q is no absolute path", location)
	}
	return filepath.Clean(path), nil
}
