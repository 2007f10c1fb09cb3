// Package local keeps objects as files of a directory, which several hosts may share. An object is
// written to a temporary file beside its name, synced, then linked to the name only if that is free; a
// reader therefore sees a whole object or none. Temporary files begin with a dot and are listed nowhere.
//
// This package starts no goroutine. See ../objects for the contract.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// Store is a directory.
type Store struct{ dir string }

// At returns the store in dir, an absolute path, as it is: without any I/O.
func At(dir string) *Store { return &Store{dir: dir} }

// Prepare makes the directory, and fails when it cannot be written.
func (s *Store) Prepare(context.Context) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	// Permission bits do not tell the whole truth.
	f, err := os.CreateTemp(s.dir, ".probe-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// String is the path of the directory.
func (s *Store) String() string { return s.dir }

func (s *Store) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// Create: see objects.Store.
func (s *Store) Create(ctx context.Context, name string, write func(io.Writer) error) (created bool, err error) {
	if err := objects.Check(ctx, name); err != nil {
		return false, err
	}
	final := s.path(name)
	dir := filepath.Dir(final)
	if err := s.mkdir(dir); err != nil {
		return false, err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(final)+"-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()

	if err := writeSynced(ctx, temp, write); err != nil {
		return false, err
	}
	failpoint.StorageLinks.Reached()
	// A link is atomic and fails when the name is taken, which a rename would overwrite.
	if err := os.Link(temp.Name(), final); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	failpoint.StorageLinked.Reached()
	return true, syncDir(dir)
}

// writeSynced fills, syncs and closes f.
func writeSynced(ctx context.Context, f *os.File, write func(io.Writer) error) error {
	err := write(writer{ctx, f})
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = objects.Ended(ctx) // what wrote nothing did not see it
	}
	return errors.Join(err, f.Close())
}

// Open: see objects.Store.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := objects.Check(ctx, name); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(s.path(name))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: fs.ErrNotExist} // a directory is no object
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return &reader{ctx: ctx, f: f, left: info.Size()}, info.Size(), nil
}

// List: see objects.Store.
func (s *Store) List(ctx context.Context, dir string) ([]string, error) {
	prefix := ""
	if dir != "" {
		if err := objects.CheckName(dir); err != nil {
			return nil, err
		}
		prefix = dir + "/"
	}
	if err := objects.Ended(ctx); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.path(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := prefix + e.Name()
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			names = append(names, name+"/")
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names) // "a/" comes after "a-"
	return names, nil
}

// Delete: see objects.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := objects.Check(ctx, name); err != nil {
		return err
	}
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncIfThere(filepath.Dir(s.path(name)))
}

// DeleteAll: see objects.Store.
func (s *Store) DeleteAll(ctx context.Context, dir string) error {
	if err := objects.Check(ctx, dir); err != nil {
		return err
	}
	if err := os.RemoveAll(s.path(dir)); err != nil {
		return err
	}
	return syncIfThere(filepath.Dir(s.path(dir)))
}

// mkdir makes a directory below the store's, and those above it, so that they survive a power cut. It
// never makes the store's own, which is away when it is not there.
func (s *Store) mkdir(dir string) error {
	_, err := os.Stat(dir)
	if err == nil || dir == s.dir || !errors.Is(err, fs.ErrNotExist) {
		return err // of what is there: whoever made it syncs before anything in it counts
	}
	above := filepath.Dir(dir)
	if err := s.mkdir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(above)
}

// syncDir makes a name that is new in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func syncIfThere(dir string) error {
	if err := syncDir(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writer fails once ctx has ended.
type writer struct {
	ctx context.Context
	f   *os.File
}

func (w writer) Write(p []byte) (int, error) {
	if err := objects.Ended(w.ctx); err != nil {
		return 0, err
	}
	return w.f.Write(p)
}

// reader fails once ctx has ended, and when the file has another length than it had.
type reader struct {
	ctx  context.Context
	f    *os.File
	left int64
}

func (r *reader) Read(p []byte) (int, error) {
	if err := objects.Ended(r.ctx); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.f.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s ends %d bytes too early: %w", r.f.Name(), r.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

func (r *reader) Close() error { return r.f.Close() }
