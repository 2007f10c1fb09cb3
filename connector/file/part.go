package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/output"
)

// writeSize is how many bytes are gathered before they are written.
const writeSize = 128 << 10

// encoder makes text of records, in one format for one type.
type encoder[T any] interface {
	// header is written once at the beginning of each file.
	header() []byte
	// appendRecords appends records to dst. It keeps nothing of them.
	appendRecords(dst []byte, records []T) ([]byte, error)
}

// sink writes part files into a directory.
type sink[T any] struct {
	dir    string
	ext    string
	encode encoder[T]
	err    error // why T cannot be written: told by Check and Open
}

// Check reports a type that cannot be written, a directory that cannot be written to, and one that
// already holds an output.
func (s sink[T]) Check(ctx *connector.Context) error {
	dir, err := s.place(ctx)
	if err != nil {
		return err
	}
	probe, err := os.CreateTemp(nearest(dir), ".perennial-check-*")
	if err != nil {
		return fmt.Errorf("output %q: cannot write to %s: %w", s.dir, nearest(dir), errors.Unwrap(err))
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("output %q: %w", s.dir, err)
	}
	return nil
}

// nearest returns dir or, while that does not exist, the nearest directory above it that does.
func nearest(dir string) string {
	for {
		_, err := os.Stat(dir)
		if above := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && above != dir {
			dir = above
			continue
		}
		return dir
	}
}

// place returns the absolute path of the directory, which need not exist, but holds no output.
func (s sink[T]) place(ctx *connector.Context) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	if s.dir == "" {
		return "", errors.New("output: no directory given")
	}
	dir, err := filepath.Abs(ctx.Path(s.dir))
	if err != nil {
		return "", fmt.Errorf("output %q: %w", s.dir, err)
	}
	names, err := fileNames(dir)
	if err != nil {
		return "", fmt.Errorf("output %q: %w", s.dir, err)
	}
	for _, name := range names {
		if _, ok := output.ParseVisible(name); ok {
			return "", fmt.Errorf("output %s already holds %s; choose another directory or remove it", dir, name)
		}
	}
	return dir, nil
}

// fileNames lists dir, which has no files if it does not exist.
func fileNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

// Open begins this subtask's part, and removes what earlier attempts left of it.
func (s sink[T]) Open(ctx *connector.Context) (connector.SinkWriter[T], error) {
	dir, err := s.place(ctx)
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("output %q: %w", s.dir, err)
	}
	name := output.Name{
		Subtask: ctx.Subtask(),
		Attempt: job.Attempt(ctx.Attempt()),
		Ext:     s.ext,
		Job:     job.ID(ctx.JobID()).Short(),
	}
	if name.Job == "" { // a Context made by a test
		name.Job = "none"
	}
	if err := removeEarlier(dir, name); err != nil {
		return nil, fmt.Errorf("output %q: %w", s.dir, err)
	}
	w := &partWriter[T]{out: name.In(dir), encode: s.encode}
	w.file, err = os.OpenFile(w.out.Temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("output %q: %s is there already; do two sinks of the job write to one directory?", s.dir, w.out.Temp)
	}
	if err != nil {
		return nil, fmt.Errorf("output %q: %w", s.dir, err)
	}
	w.text = append(w.text, s.encode.header()...)
	return w, nil
}

// makeDir makes dir and what is missing above it, durably.
func makeDir(dir string) error {
	there := nearest(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for ; dir != there; dir = filepath.Dir(dir) {
		if err := output.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// removeEarlier removes the hidden files of lower attempts of the same part. Those of other
// subtasks are theirs to remove, those of other jobs may still be written.
func removeEarlier(dir string, mine output.Name) error {
	names, err := fileNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := output.ParseHidden(name)
		if !ok || n.Job != mine.Job || n.Subtask != mine.Subtask || n.Ext != mine.Ext || n.Attempt >= mine.Attempt {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// partWriter writes one hidden part file.
type partWriter[T any] struct {
	out    job.Output
	encode encoder[T]
	file   *os.File
	text   []byte // not yet written
}

func (w *partWriter[T]) Write(records []T) error {
	var err error
	if w.text, err = w.encode.appendRecords(w.text, records); err != nil {
		return fmt.Errorf("write %s: %w", w.out.Final, err)
	}
	if len(w.text) < writeSize {
		return nil
	}
	return w.Flush()
}

// Flush writes the gathered text to the file. A process that dies loses nothing of that, a host
// that dies may.
func (w *partWriter[T]) Flush() error {
	if len(w.text) == 0 {
		return nil
	}
	_, err := w.file.Write(w.text)
	w.text = w.text[:0]
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Finish makes the file and its hidden name durable. After an error the file is gone.
func (w *partWriter[T]) Finish() ([]connector.Output, error) {
	err := w.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		err = w.file.Close()
	}
	if err == nil {
		err = output.SyncDir(filepath.Dir(w.out.Temp))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("finish output: %w", err), w.Abort())
	}
	return []connector.Output{w.out}, nil
}

// Abort removes the file.
func (w *partWriter[T]) Abort() error {
	closing := w.file.Close()
	if errors.Is(closing, os.ErrClosed) {
		closing = nil
	}
	removing := os.Remove(w.out.Temp)
	if errors.Is(removing, fs.ErrNotExist) {
		removing = nil
	}
	if err := errors.Join(closing, removing); err != nil {
		return fmt.Errorf("abort output: %w", err)
	}
	return nil
}
