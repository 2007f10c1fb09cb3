// Package storage is the durable bytes that all JobManagers and TaskManagers of a cluster
// share: job binaries, graphs, intents too large for coordination, lists of outputs, checkpoints,
// and the cluster's incarnation. They lie in a directory (local) or a part of an S3 bucket (s3),
// behind one contract (objects).
//
// Everything here is written once. A reader sees a whole object or none, a write that
// is repeated changes nothing, and a leader that was replaced while it slept can overwrite
// nothing of its successor's. What is referenced is decided in coordination, never here, and what is
// removed is removed by name; metadata that waited to be imported, once they are.
//
// This package starts no goroutine. Its methods do I/O, which ends with their ctx, and may be called at
// once from several goroutines and processes.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/storage/local"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// ErrNotFound says that an object is not stored.
var ErrNotFound = errors.New("storage: no such object")

// ErrName says that no object can have this name.
var ErrName = objects.ErrName

// Storage is the place that storage.dir names.
type Storage struct {
	objects     objects.Store
	location    string
	incarnation atomic.Pointer[string] // once read: it never changes
}

// kinds of object, each below a directory of its own.
const (
	clusterDir  = "cluster"
	artifactDir = "artifacts"
	graphDir    = "graphs"
	intentDir   = "intents"
	outputDir   = "outputs"
	stateDir    = "checkpoints" // of each job, of each checkpoint and attempt: a directory
)

// maxDocument is the size of the largest object that is read whole, but for states, in bytes.
const maxDocument = 1 << 30

// Open opens the storage at location: a path, a file:// URL or s3://bucket/prefix. It
// fails when it cannot be written, so that a process finds out at its start.
func Open(ctx context.Context, location string) (*Storage, error) {
	at, err := OpenObjects(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("storage.dir: %w", err)
	}
	return &Storage{objects: at, location: absolute(at, location)}, nil
}

// Attach returns the storage at location as it is, for a process whose parent has opened it: one that is
// full or read-only at the moment keeps no task from running.
func Attach(location string) (*Storage, error) {
	at, err := ObjectsAt(location)
	if err != nil {
		return nil, fmt.Errorf("storage.dir: %w", err)
	}
	return &Storage{objects: at, location: absolute(at, location)}, nil
}

// Over returns the storage that at is. Its Location means nothing to another process.
func Over(at objects.Store) *Storage { return &Storage{objects: at, location: at.String()} }

// Dir is where the storage is, for messages.
func (s *Storage) Dir() string { return s.objects.String() }

// Location is what Open is to be called with in another process, whatever that one's directory.
func (s *Storage) Location() string { return s.location }

// Remote reports whether the storage is elsewhere: worth a copy of what is read again.
func (s *Storage) Remote() bool {
	_, isHere := s.objects.(*local.Store)
	return !isHere
}

// read returns a small object whole.
func (s *Storage) read(ctx context.Context, kind, name string) ([]byte, error) {
	b, err := objects.Read(ctx, s.objects, kind+"/"+name, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s/%s in %s", ErrNotFound, kind, name, s.Dir())
	}
	return b, err
}

// createBytes stores b under kind/name, unless something is stored there already.
func (s *Storage) createBytes(ctx context.Context, kind, name string, b []byte) (created bool, err error) {
	created, err = s.objects.Create(ctx, kind+"/"+name, objects.Write(b))
	if err != nil {
		return false, fmt.Errorf("store %s/%s: %w", kind, name, err)
	}
	return created, nil
}
