package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/failpoint"
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
	if ctx.Attempt() == 1 { // else it may be the job's own
		if err := vacant(dir); err != nil {
			return err
		}
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

// place returns the absolute path of the directory, which need not exist.
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
	return dir, nil
}

// vacant reports a dir that holds an output.
func vacant(dir string) error {
	names, err := fileNames(dir)
	if err != nil {
		return fmt.Errorf("output %s: %w", dir, err)
	}
	for _, name := range names {
		if _, ok := output.ParseVisible(name); ok {
			return fmt.Errorf("output %s already holds %s; choose another directory or remove it", dir, name)
		}
	}
	return nil
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

// Open begins this subtask's first part, and removes what earlier attempts left of it.
func (s sink[T]) Open(ctx *connector.Context) (connector.SinkWriter[T], error) {
	dir, err := s.prepareDir(ctx)
	if err != nil {
		return nil, err
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
	if err := removeEarlier(dir, name, ctx.Inherited()); err != nil {
		return nil, fmt.Errorf("output %q: %w", s.dir, err)
	}
	failpoint.SinkClears.Reached()
	w := &partWriter[T]{dir: dir, name: name, encode: s.encode, some: len(ctx.Inherited()) > 0}
	if err := w.begin(); err != nil {
		return nil, err
	}
	return w, nil
}

// prepareDir makes the directory. Only a first attempt demands that it holds no output: a
// later one finds what checkpoints of its own job made visible.
func (s sink[T]) prepareDir(ctx *connector.Context) (string, error) {
	dir, err := s.place(ctx)
	if err != nil {
		return "", err
	}
	if ctx.Attempt() == 1 {
		if err := vacant(dir); err != nil {
			return "", err
		}
	}
	if err := makeDir(dir); err != nil {
		return "", fmt.Errorf("output %q: %w", s.dir, err)
	}
	return dir, nil
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

// removeEarlier removes the hidden files of lower attempts of the same subtask, but not the
// inherited ones, which will become visible. Those of other subtasks are theirs to remove, those
// of other jobs may still be written.
func removeEarlier(dir string, mine output.Name, inherited []connector.Output) error {
	names, err := fileNames(dir)
	if err != nil {
		return err
	}
	keep := make(map[string]bool)
	for _, o := range inherited {
		keep[filepath.Base(o.Temp)] = true // all of one sink are in one directory
	}
	for _, name := range names {
		if keep[name] || !isEarlier(name, mine) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func isEarlier(name string, mine output.Name) bool {
	n, ok := output.ParseHidden(name)
	return ok && n.Job == mine.Job && n.Subtask == mine.Subtask && n.Ext == mine.Ext && n.Attempt < mine.Attempt
}

// partWriter writes one hidden part file after the other: a checkpoint ends one, and the next
// record begins the next.
type partWriter[T any] struct {
	dir    string
	name   output.Name // of the present file, or of the next one
	encode encoder[T]
	out    job.Output // the present file's
	file   *os.File   // nil: none is begun
	text   []byte     // not yet written
	filled bool       // the present file has a record
	some   bool       // this subtask has another file, so that it needs no empty one
}

// begin begins a file, with its header.
func (w *partWriter[T]) begin() error {
	out := w.name.In(w.dir)
	file, err := os.OpenFile(out.Temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("output: %s is there already; do two sinks of the job write to one directory?", out.Temp)
	}
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	w.out, w.file, w.filled = out, file, false
	w.text = append(w.text[:0], w.encode.header()...)
	return nil
}

func (w *partWriter[T]) Write(records []T) error {
	if len(records) == 0 {
		return nil
	}
	if w.file == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	var err error
	if w.text, err = w.encode.appendRecords(w.text, records); err != nil {
		return fmt.Errorf("write %s: %w", w.out.Final, err)
	}
	w.filled = true
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

// Prepare ends the present file if there is a record in it. After an error it is Abort's.
func (w *partWriter[T]) Prepare() ([]connector.Output, error) {
	if !w.filled {
		return nil, nil
	}
	return w.end()
}

// Finish ends the present file. One without a record is dropped if the subtask has another one.
// After an error the file is gone.
func (w *partWriter[T]) Finish() ([]connector.Output, error) {
	if w.some && !w.filled {
		return nil, w.Abort()
	}
	outputs, err := w.end()
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return outputs, nil
}

// end makes the present file and its hidden name durable, and lets go of it.
func (w *partWriter[T]) end() ([]connector.Output, error) {
	err := w.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		err = w.file.Close()
	}
	if err == nil {
		err = output.SyncDir(w.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("finish output: %w", err)
	}
	w.file, w.filled, w.some = nil, false, true
	w.name.Sequence++
	return []connector.Output{w.out}, nil
}

// Abort removes the present file, if any: those before it are no longer the writer's.
func (w *partWriter[T]) Abort() error {
	if w.file == nil {
		return nil
	}
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
