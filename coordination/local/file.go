// Package local is coordination kept in one file of one machine, for a cluster without
// high availability: the epoch and the entries outlive the process, so a JobManager that is
// started again finds its jobs and its successor number. Members, and whether a leader is
// alive, live only as long as the process, since no other can hold the file meanwhile.
//
// The directory belongs on a local disk: the lock of a network file system is not to be
// trusted. This package starts no goroutine of its own; those of Observe and WatchMembers
// have ended when their session is closed.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/internal/state"
)

// Name is the name of the file in its directory.
const Name = "coordination.db"

// lockPatience is how long OpenFile waits for a process that is just ending to let go of
// the file: the kernel frees gigabytes of memory before it releases the lock.
const lockPatience = 5 * time.Second

// File is an open file. It is this process's alone.
type File struct {
	path    string
	db      *bbolt.DB
	machine *state.Machine
}

// OpenFile opens the file in dir, which it makes if it is not there. It waits up to
// five seconds, and no longer than ctx, for another process to let go of the file.
func OpenFile(ctx context.Context, dir string) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of local coordination (coordination.local.dir): %w", err)
	}
	path := filepath.Join(dir, Name)
	db, snapshot, err := openLocked(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("sync the directory of local coordination: %w", err), db.Close())
	}
	persist := func(c state.Change) error { return save(db, c) }
	return &File{path: path, db: db, machine: state.New(snapshot, persist)}, nil
}

// Session returns a session over the file; several may be open at a time. Close them before f.
func (f *File) Session() coordination.Store { return f.machine.Open(state.Direct{}) }

// Close releases the file.
func (f *File) Close() error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	return nil
}

// Open opens the file in dir as OpenFile does and returns its only session, whose Close
// releases the file. Whoever may have to open a session again keeps a File instead.
func Open(ctx context.Context, dir string) (coordination.Store, error) {
	f, err := OpenFile(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &only{Store: f.Session(), file: f}, nil
}

// only is a session that takes its file with it.
type only struct {
	coordination.Store
	file *File
}

func (o *only) Close() error { return errors.Join(o.Store.Close(), o.file.Close()) }

// openLocked waits for the lock and reads the file.
func openLocked(ctx context.Context, path string) (*bbolt.DB, state.Snapshot, error) {
	deadline := time.Now().Add(lockPatience)
	for {
		db, snapshot, err := load(path)
		switch {
		case err == nil:
			return db, snapshot, nil
		case !errors.Is(err, bolterrors.ErrTimeout):
			return nil, state.Snapshot{}, err
		case ctx.Err() != nil || time.Now().After(deadline):
			return nil, state.Snapshot{}, fmt.Errorf("%s is locked: another JobManager runs on this directory; stop it, or set coordination.local.dir to another directory: %w", path, errors.Join(err, context.Cause(ctx)))
		}
	}
}

// syncDir makes the file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
