package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/connector"
)

// Option changes how Lines and Watch read.
type Option func(*lines)

// Match reads, of a directory, only the files whose name (without the directories before it)
// matches pattern, as path/filepath.Match has it: "*.go". "" matches all.
func Match(pattern string) Option { return func(l *lines) { l.match = pattern } }

// SplitSize sets how many bytes one split covers: what a subtask reads before it asks for
// more. By default a sixteenth of a file, but at least 1 MB and at most 32 MB.
func SplitSize(bytes int64) Option { return func(l *lines) { l.splitSize = bytes } }

// MaxLine sets the longest line that is read, in bytes, 16 MB by default. A longer one fails the
// job: a file that is not text would otherwise fill the memory.
func MaxLine(bytes int) Option { return func(l *lines) { l.maxLine = bytes } }

// Lines is the bounded source of the lines of text files, without their line ends ("\n" or
// "\r\n"). The last line of a file need not have one. The order of lines is that of the
// file within a split; splits are read by several subtasks at once.
//
// path is a file; or a directory, of which every regular file is read, however deep; or a pattern
// of path/filepath.Glob. A relative one starts where the job was submitted. Files and
// directories whose name begins with a dot are skipped in directories and patterns (so files that
// a sink still writes are), and so are symbolic links in directories. To find no file is an error.
//
// What is there when the job begins is read: later files are not seen, lines appended later not
// read, and a file that vanished or shrank is an error.
//
// Semantics: exactly-once. The position in each file is part of a checkpoint.
//
// Lines share the memory of a block of up to 256 kB: a function that keeps a few of many
// should keep strings.Clone of them.
func Lines(path string, options ...Option) connector.Source[string] {
	return newLines(path, options)
}

type lines struct {
	path      string
	match     string
	splitSize int64 // 0: by the size of the file
	maxLine   int
	block     int // bytes in the memory that lines share

	atomic bool          // of Watch
	forget time.Duration // likewise; 0: never
}

func newLines(path string, options []Option) lines {
	l := lines{path: path, maxLine: 16 << 20, block: defaultBlock}
	for _, o := range options {
		o(&l)
	}
	return l
}

func (l lines) Bounded() bool { return true }

// Check reports options that make no sense, and a path at which there is nothing to read.
func (l lines) Check(ctx *connector.Context) error {
	if l.atomic || l.forget != 0 {
		return errors.New("file.Atomic and file.Forget are for file.Watch")
	}
	in, err := l.input(ctx)
	if err != nil {
		return err
	}
	return in.check()
}

// Splits walks the files in the order of their names.
func (l lines) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	in, err := l.input(ctx)
	if err != nil {
		return err
	}
	s := splitter{size: l.splitSize, emit: emit}
	found := false
	err = in.walk(func(path string, info fs.FileInfo) error {
		found = true
		return s.add(path, info.Size())
	})
	if err != nil {
		return err
	}
	if !found {
		return in.nothing()
	}
	return s.flush()
}

func (l lines) Open(_ *connector.Context, s connector.Split) (connector.Reader[string], error) {
	if s.From < 0 || s.To < s.From {
		return nil, fmt.Errorf("read lines of %s: split from byte %d to %d", s.Name, s.From, s.To)
	}
	return newLineReader(s, l.maxLine, l.block), nil
}

// input resolves the path, and refuses options that make no sense.
func (l lines) input(ctx *connector.Context) (*input, error) {
	if l.splitSize < 0 {
		return nil, fmt.Errorf("split size of %d bytes: expected a positive number", l.splitSize)
	}
	if l.maxLine < 1 {
		return nil, fmt.Errorf("longest line of %d bytes: expected a positive number", l.maxLine)
	}
	base, err := filepath.Abs(ctx.Path("."))
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", l.path, err)
	}
	path := l.path
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return &input{ctx: ctx, given: l.path, base: base, path: filepath.Clean(path), match: l.match}, nil
}
