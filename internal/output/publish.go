package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// Errors that no retry mends; every other error of Publish may be one of the moment.
var (
	// ErrLost is an output of which neither the written nor the visible file exists.
	ErrLost = errors.New("output is lost")
	// ErrTaken is an output whose visible name belongs to another file.
	ErrTaken = errors.New("output name is taken")
)

// Publish makes the outputs of a committed list visible by renaming each from Temp to
// Final, and syncs their directories. It may be repeated, after a crash at any point and by
// any process, also by two at once: a file that is already at its final name is done.
//
// All are looked at before the first is renamed, so that a list with a lost or a taken name
// makes nothing more visible. Nil means that all are visible and durable.
func Publish(outputs []job.Output) error {
	for _, o := range outputs {
		if err := checkPaths(o); err != nil {
			return fmt.Errorf("publish output: %w", err)
		}
		if _, err := written(o); err != nil {
			return fmt.Errorf("publish output: %w", err)
		}
	}
	failpoint.LeaderRenames.Reached()
	for _, o := range outputs {
		if err := publish(o); err != nil {
			return fmt.Errorf("publish output: %w", err)
		}
		failpoint.LeaderRenamed.Reached()
	}
	// Also when every file was there already: whoever renamed it may have
	// died before the directory was on disk.
	return syncDirs(outputs)
}

// Discard removes the written files of outputs that will never be published, as after a
// failed job; that must be committed first (R13). It may be repeated.
// A file that is visible stays.
func Discard(outputs []job.Output) error {
	for _, o := range outputs {
		if err := checkPaths(o); err != nil {
			return fmt.Errorf("discard output: %w", err)
		}
		if err := os.Remove(o.Temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("discard output: %w", err)
		}
	}
	return nil
}

func checkPaths(o job.Output) error {
	if !filepath.IsAbs(o.Temp) || !filepath.IsAbs(o.Final) || filepath.Dir(o.Temp) != filepath.Dir(o.Final) || o.Temp == o.Final {
		return fmt.Errorf("%q -> %q: expected two absolute paths in one directory", o.Temp, o.Final)
	}
	return nil
}

// written reports whether o still waits for its rename; false: it is visible.
func written(o job.Output) (bool, error) {
	// Temp first: a rename between the two looks is then seen as done, never as lost.
	_, err := os.Lstat(o.Temp)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	waits := err == nil
	_, err = os.Lstat(o.Final)
	switch {
	case err == nil && waits:
		return false, stillThere(o)
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	case waits:
		return true, nil
	}
	return false, fmt.Errorf("%w: neither %s nor %s exists; is the output directory shared by all hosts, and was it left alone?",
		ErrLost, o.Temp, filepath.Base(o.Final))
}

// stillThere tells a name taken by another file from a rename by another process that
// happened between the two looks of written: then Temp is gone by now.
func stillThere(o job.Output) error {
	_, err := os.Lstat(o.Temp)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s was not written by this job; move it away", ErrTaken, o.Final)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func publish(o job.Output) error {
	waits, err := written(o)
	if err != nil || !waits {
		return err
	}
	err = os.Rename(o.Temp, o.Final)
	if errors.Is(err, fs.ErrNotExist) { // another process was faster
		_, err = written(o)
	}
	return err
}

func syncDirs(outputs []job.Output) error {
	synced := make(map[string]bool)
	for _, o := range outputs {
		dir := filepath.Dir(o.Final)
		if synced[dir] {
			continue
		}
		synced[dir] = true
		if err := SyncDir(dir); err != nil {
			return fmt.Errorf("publish output: %w", err)
		}
	}
	return nil
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
