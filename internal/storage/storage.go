// Package storage is the durable bytes that all JobManagers and TaskManagers of a cluster
// share: job binaries, graphs, intents too large for coordination, lists of outputs, checkpoints,
// and the cluster's incarnation.
//
// Everything here is written once: under a temporary name, synced, then linked to its own
// name only if that name is free. A reader therefore sees a whole object or none, a write that
// is repeated changes nothing, and a leader that was replaced while it slept can overwrite
// nothing of its successor's. What is referenced is decided in coordination, never here; only
// checkpoints are ever removed, and by name.
//
// This package starts no goroutine. Its methods do disk I/O and may be called at once from
// several goroutines and processes.
package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// ErrNotFound says that an object is not stored.
var ErrNotFound = errors.New("storage: no such object")

// Storage is the directory that storage.dir names.
type Storage struct {
	dir         string
	incarnation atomic.Pointer[string] // once read: it never changes
}

// kinds of object, each in a directory of its own.
const (
	clusterDir  = "cluster"
	artifactDir = "artifacts"
	graphDir    = "graphs"
	intentDir   = "intents"
	outputDir   = "outputs"
	stateDir    = "checkpoints" // of each job, of each checkpoint and attempt: a directory
	tempDir     = "tmp"
)

// Open opens the storage at location, a path or a file:// URL, and makes its directories. It
// fails when they cannot be written, so that a process finds out at its start.
func Open(location string) (*Storage, error) {
	dir, err := directory(location)
	if err != nil {
		return nil, err
	}
	s := &Storage{dir: dir}
	for _, kind := range []string{clusterDir, artifactDir, graphDir, intentDir, outputDir, stateDir, tempDir} {
		if err := os.MkdirAll(filepath.Join(dir, kind), 0o755); err != nil {
			return nil, fmt.Errorf("storage.dir %s cannot be used: %w; name a directory that every process of the cluster can write", dir, err)
		}
	}
	if err := s.probe(); err != nil {
		return nil, fmt.Errorf("storage.dir %s is not writable: %w; name a directory that every process of the cluster can write", dir, err)
	}
	return s, nil
}

// Attach returns the storage at location as it is, for a process whose parent has opened it: one that is
// full or read-only at the moment keeps no task from running.
func Attach(location string) (*Storage, error) {
	dir, err := directory(location)
	if err != nil {
		return nil, err
	}
	return &Storage{dir: dir}, nil
}

// Dir is the absolute path of the storage, for messages.
func (s *Storage) Dir() string { return s.dir }

// Location is what Open is to be called with in another process, whatever that one's directory.
func (s *Storage) Location() string { return s.dir }

func directory(location string) (string, error) {
	if location == "" {
		return "", errors.New("storage.dir is empty; name a directory that every process of the cluster shares")
	}
	if scheme, _, isURL := strings.Cut(location, "://"); isURL && scheme != "file" {
		return "", fmt.Errorf("storage.dir %q: only a path or a file:/// URL can be used, not %s://", location, scheme)
	}
	path := location
	if strings.HasPrefix(location, "file://") {
		u, err := url.Parse(location)
		if err != nil || u.Host != "" && u.Host != "localhost" || u.Path == "" {
			return "", fmt.Errorf("storage.dir %q is no file URL; expected file:///path", location)
		}
		path = u.Path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("storage.dir %q: %w", location, err)
	}
	return abs, nil
}

// probe writes and removes a file, as permission bits do not tell the whole truth.
func (s *Storage) probe() error {
	f, err := os.CreateTemp(filepath.Join(s.dir, tempDir), "probe-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (s *Storage) path(kind, name string) string { return filepath.Join(s.dir, kind, name) }

// read returns a small object whole.
func (s *Storage) read(kind, name string) ([]byte, error) {
	b, err := os.ReadFile(s.path(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s/%s in %s", ErrNotFound, kind, name, s.dir)
	}
	return b, err
}
