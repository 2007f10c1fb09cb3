package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/output"
)

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
	encode encoder[T]
	rolling
	bucket func(T) string // nil: all in one directory
	err    error          // why T cannot be written so: told by Check and Open
}

// newSink returns the sink of a format. err is what is wrong with T.
func newSink[T any](dir, format string, o sinkOptions, encode encoder[T], err error) sink[T] {
	s := sink[T]{dir: dir, encode: encode, rolling: o.rolling}
	if err == nil {
		err = o.check(format)
	}
	if err == nil && o.bucket != nil {
		var ok bool
		if s.bucket, ok = o.bucket.(func(T) string); !ok {
			err = fmt.Errorf("file.Bucket has a %T, and the records are of type %v", o.bucket, reflect.TypeFor[T]())
		}
	}
	if err != nil {
		s.err = fmt.Errorf("output %q: %w", dir, err)
	}
	return s
}

// Check reports a type that cannot be written, a directory that cannot be written to, and one that
// already holds an output.
func (s sink[T]) Check(ctx *connector.Context) error {
	dir, err := s.place(ctx)
	if err != nil {
		return err
	}
	if ctx.Attempt() == 1 { // else it may be the job's own
		if err := s.vacant(dir); err != nil {
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
func (s sink[T]) vacant(dir string) error {
	found := ""
	err := s.eachFile(dir, func(path string) error {
		if _, ok := output.ParseVisible(filepath.Base(path)); ok {
			found = strings.TrimPrefix(path[len(dir):], string(filepath.Separator))
			return errFound
		}
		return nil
	})
	switch {
	case found != "":
		return fmt.Errorf("output %s already holds %s; choose another directory or remove it", dir, found)
	case err != nil:
		return fmt.Errorf("output %s: %w", dir, err)
	}
	return nil
}

// eachFile calls visit with the path of each file in dir and, where there are buckets, below it. A dir that does not exist
// has none. An error of visit is returned as it is.
func (s sink[T]) eachFile(dir string, visit func(path string) error) error {
	if s.bucket != nil {
		return filepath.WalkDir(dir+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			return visit(path)
		})
	}
	names, err := fileNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := visit(filepath.Join(dir, name)); err != nil {
			return err
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

// Open begins this subtask's first part, and removes what earlier attempts left in its place. With buckets the
// first record begins it.
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
		Sink:    output.SinkHash(ctx.Operator()),
	}
	if name.Job == "" { // a Context made by a test
		name.Job = "none"
	}
	if err := s.removeEarlier(dir, name, ctx); err != nil {
		return nil, fmt.Errorf("output %q: %w", s.dir, err)
	}
	failpoint.SinkClears.Reached()
	w := &writer[T]{sink: s, dir: dir, next: name, parts: map[string]*partFile{}, some: len(ctx.Inherited()) > 0}
	if s.bucket == nil {
		if _, err := w.begin(""); err != nil {
			return nil, err
		}
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
		if err := s.vacant(dir); err != nil {
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

// removeEarlier removes the hidden files of lower attempts in the place of this subtask, but not the
// inherited ones, which will become visible. Those of other places are others' to remove, those
// of other jobs, and of other sinks of this one, may still be written.
func (s sink[T]) removeEarlier(dir string, mine output.Name, ctx *connector.Context) error {
	keep := make(map[string]bool)
	for _, o := range ctx.Inherited() {
		keep[o.Temp] = true
	}
	return s.eachFile(dir, func(path string) error {
		if keep[path] || !isEarlier(filepath.Base(path), mine, ctx.Parallelism()) {
			return nil
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// isEarlier tells the files of a lower attempt. When the parallelism has changed, each has one place all the same.
func isEarlier(name string, mine output.Name, parallelism int) bool {
	n, ok := output.ParseHidden(name)
	return ok && n.Job == mine.Job && n.Sink == mine.Sink && n.Subtask%parallelism == mine.Subtask && n.Ext == mine.Ext && n.Attempt < mine.Attempt
}
