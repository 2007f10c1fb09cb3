package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// directory is where one process has its files. The lock in it tells a process that comes later whether its
// owner lives.
type directory struct {
	path string
	lock io.Closer
}

const (
	directoryPrefix = "perennial-state-"
	lockName        = "in-use"
)

// makeDirectory makes a directory in parent, the system's for temporary files if that is "", and removes those
// that killed processes have left there.
func makeDirectory(parent string) (*directory, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	parent, err := filepath.Abs(parent)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := sweepDirectories(parent); err != nil {
		return nil, err
	}
	for range 10 {
		path, err := os.MkdirTemp(parent, directoryPrefix)
		if err != nil {
			return nil, err
		}
		// Another process that sweeps may be faster, and takes it for a dead one's.
		if lock, err := vfs.Default.Lock(filepath.Join(path, lockName)); err == nil {
			if _, err := os.Stat(filepath.Join(path, lockName)); err == nil {
				return &directory{path, lock}, nil
			}
			lock.Close()
		}
	}
	return nil, fmt.Errorf("no directory that is made in %s stays there", parent)
}

// sweepDirectories removes the directories whose owners are dead: the system has let go of their locks.
func sweepDirectories(parent string) error {
	left, err := fs.Glob(os.DirFS(parent), directoryPrefix+"*") // whatever characters parent has
	if err != nil {
		return err
	}
	for _, name := range left {
		path := filepath.Join(parent, name)
		lock, err := vfs.Default.Lock(filepath.Join(path, lockName))
		if err != nil {
			continue // it is used, or gone
		}
		err = os.RemoveAll(path)
		if err := errors.Join(err, lock.Close()); err != nil {
			return fmt.Errorf("remove what a killed process has left: %w", err)
		}
	}
	return nil
}

func (d *directory) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}
