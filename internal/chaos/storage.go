package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// storageFaults are of what all processes share.
var storageFaults = []fault{
	{name: "storage away", row: "27", weight: 1, do: (*round).takeStorage, needs: func(s *Site) string {
		if s.Storage.Dir == "" {
			return "its storage is not the run's to take away"
		}
		return ""
	}},
	{name: "storage full", row: "27", weight: 1, do: (*round).fillStorage, needs: func(s *Site) string {
		if !s.Storage.Small {
			return "its storage is no small file system of its own, which only root can mount, on Linux"
		}
		return ""
	}},
}

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
func (s Storage) Fill() (back func() error, err error) { return fill(s.Dir) }

func fill(dir string) (back func() error, err error) {
	path := filepath.Join(dir, "ballast")
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
			return nil, errors.Join(fmt.Errorf("fill %s: %w", dir, err), back())
		}
	}
	return back, nil
}

func (r *round) takeStorage(ctx context.Context) error { return r.spoil(ctx, r.Storage.TakeAway) }

func (r *round) fillStorage(ctx context.Context) error { return r.spoil(ctx, r.Storage.Fill) }

// spoil has the storage fail for a while. Meanwhile the job may lose a task process or its leader: what they
// need to go on is out of reach then.
func (r *round) spoil(ctx context.Context, begin func() (func() error, error)) error {
	back, err := begin()
	if err != nil {
		return err
	}
	r.struck = time.Now()
	leader, err := r.meanwhile(ctx)
	err = errors.Join(err, back())
	if leader != nil { // one that finds no storage at its start ends again
		err = errors.Join(err, leader.Start())
	}
	return err
}

// meanwhile lets time go by, longer than from one checkpoint to the next, and kills a task process, a leader, or nobody. A
// leader is returned, to be started again.
func (r *round) meanwhile(ctx context.Context) (leader *localcluster.Process, err error) {
	if err := wait(ctx, r.moments(250, 900)); err != nil {
		return nil, err
	}
	switch r.draw.IntN(4) {
	case 0:
		if err := r.killTask(ctx); err != nil && !errors.Is(err, errSpared) {
			return nil, err
		}
	case 1:
		if leader, err = r.leader(ctx); err != nil {
			return nil, err
		}
		r.kill(leader)
	}
	return leader, wait(ctx, r.moments(0, 800))
}
