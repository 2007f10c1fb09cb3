package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perennial-io/perennial/internal/failpoint"
)

// create stores what fill writes under kind/name, unless something is stored there already:
// then that stays, and created is false. When fill fails, nothing is stored.
func (s *Storage) create(kind, name string, mode fs.FileMode, fill func(io.Writer) error) (created bool, err error) {
	return s.createVia(tempDir, kind, name, mode, fill)
}

// createVia is create with the directory that the temporary file is in. One that a killed process
// leaves there is removed with that directory.
func (s *Storage) createVia(via, kind, name string, mode fs.FileMode, fill func(io.Writer) error) (created bool, err error) {
	temp, err := os.CreateTemp(filepath.Join(s.dir, via), "."+filepath.Base(kind)+"-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()

	if err := writeSynced(temp, mode, fill); err != nil {
		return false, err
	}
	failpoint.StorageLinks.Reached()
	// A link is atomic and fails when the name is taken, which a rename would overwrite.
	if err := os.Link(temp.Name(), s.path(kind, name)); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	failpoint.StorageLinked.Reached()
	return true, syncDir(filepath.Join(s.dir, kind))
}

// writeSynced fills, syncs and closes f.
func writeSynced(f *os.File, mode fs.FileMode, fill func(io.Writer) error) error {
	err := fill(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a new name in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// createBytes stores b as create does.
func (s *Storage) createBytes(kind, name string, b []byte) (bool, error) {
	created, err := s.create(kind, name, 0o644, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store %s/%s: %w", kind, name, err)
	}
	return created, nil
}
