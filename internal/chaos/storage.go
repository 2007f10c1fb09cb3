package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Storage is the directory that the cluster's storage.dir names, which faults make fail for a while.
type Storage struct {
	Dir string // "": it does not fail
	// Small says that it is a file system of its own, small enough to be filled.
	Small bool
}

func (s Storage) checkpoints() string { return filepath.Join(s.Dir, "checkpoints") }

// TakeAway makes everything about checkpoints fail, until the returned function brings it back. A
// file stands where the directory was: nobody can read or write below one, whoever he is.
func (s Storage) TakeAway() (back func() error, err error) {
	dir, away := s.checkpoints(), s.checkpoints()+"-away"
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Rename(dir, away)); err != nil { // there may be no checkpoint yet
		return nil, err
	}
	back = func() error { return errors.Join(os.Remove(dir), os.Rename(away, dir)) }
	if err := os.WriteFile(dir, nil, 0o444); err != nil {
		return nil, errors.Join(err, back())
	}
	return back, nil
}

// Fill leaves no room, until the returned function makes some.
func (s Storage) Fill() (back func() error, err error) {
	path := filepath.Join(s.Dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	back = func() error { return os.Remove(path) }
	for block := make([]byte, 64<<10); len(block) > 0; {
		switch _, err := f.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2] // down to the last byte
		case err != nil:
			return nil, errors.Join(fmt.Errorf("fill the storage: %w", err), back())
		}
	}
	return back, nil
}
