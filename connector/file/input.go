package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// input is what a path stands for: a file, the files of a directory, or those of a pattern.
type input struct {
	ctx   context.Context
	given string // as in the job
	base  string // absolute: where a relative path starts
	path  string // absolute
	match string // of file names in directories, "" for all
	alive bool   // files come and go: one that vanishes while it is looked at is not missed
}

// errFound ends a walk that only asks whether there is anything.
var errFound = errors.New("found")

// check reports an input without a file. It stops at the first one.
func (in *input) check() error {
	err := in.walk(func(string, fs.FileInfo) error { return errFound })
	switch {
	case err == nil:
		return in.nothing()
	case errors.Is(err, errFound):
		return nil
	}
	return err
}

// walk calls visit for each file, in the order of names, with its absolute path.
// An error of visit ends the walk and is returned as it is.
func (in *input) walk(visit func(path string, info fs.FileInfo) error) error {
	if in.given == "" {
		return errors.New("input: no path given")
	}
	if _, err := filepath.Match(in.match, ""); err != nil {
		return fmt.Errorf("input: pattern of file names %q: %w", in.match, err)
	}
	info, err := os.Stat(in.path)
	if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(in.given, `*?[`) {
		return in.walkPattern(visit)
	}
	if err != nil {
		return in.unreadable(err)
	}
	return in.walkEntry(in.path, info, visit)
}

// globEscape makes a pattern that matches nothing but the path it is made of.
var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func (in *input) walkPattern(visit func(string, fs.FileInfo) error) error {
	pattern := in.given
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(globEscape.Replace(in.base), pattern)
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("input %q: %w", in.given, err)
	}
	hiddenToo := strings.HasPrefix(filepath.Base(in.path), ".")
	for _, path := range paths {
		if hidden(path) && !hiddenToo {
			continue
		}
		info, err := os.Stat(path)
		if err != nil && in.vanished(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("input %q: %w", in.given, err)
		}
		if err := in.walkEntry(path, info, visit); err != nil {
			return err
		}
	}
	return nil
}

// walkEntry takes something that was named, so a symbolic link was followed to it.
func (in *input) walkEntry(path string, info fs.FileInfo, visit func(string, fs.FileInfo) error) error {
	switch {
	case info.IsDir():
		return in.walkDir(path, visit)
	case info.Mode().IsRegular():
		return visit(path, info)
	}
	return fmt.Errorf("input %s is neither a file nor a directory (%v)", path, info.Mode())
}

func (in *input) walkDir(root string, visit func(string, fs.FileInfo) error) error {
	// WalkDir would not enter a root that is a symbolic link.
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return fmt.Errorf("input %q: %w", in.given, err)
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path != root && in.vanished(err):
			return nil
		case err != nil:
			return fmt.Errorf("input %q: %w", in.given, err)
		case in.ctx.Err() != nil:
			return context.Cause(in.ctx)
		case path != root && hidden(path) && d.IsDir():
			return filepath.SkipDir
		case path == root || hidden(path) || !d.Type().IsRegular() || !in.matches(path):
			return nil
		}
		info, err := d.Info()
		if err != nil && in.vanished(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("input %q: %w", in.given, err)
		}
		return visit(path, info)
	})
}

// vanished reports whether err says that a file is gone by now, as files of a live input may.
func (in *input) vanished(err error) bool { return in.alive && errors.Is(err, fs.ErrNotExist) }

func (in *input) matches(path string) bool {
	if in.match == "" {
		return true
	}
	ok, _ := filepath.Match(in.match, filepath.Base(path)) // the pattern was tried before
	return ok
}

func hidden(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") }

// unreadable says what was tried, and where relative paths start if that may be the matter.
func (in *input) unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("input %q: there is no %s%s", in.given, in.path, in.hint())
	}
	return fmt.Errorf("input %q: %w", in.given, err)
}

func (in *input) nothing() error {
	if in.match != "" {
		return fmt.Errorf("input %q: no file matches %q in %s%s", in.given, in.match, in.path, in.hint())
	}
	return fmt.Errorf("input %q: no file to read at %s%s", in.given, in.path, in.hint())
}

func (in *input) hint() string {
	if filepath.IsAbs(in.given) {
		return ""
	}
	return "; a relative path starts in the directory where the job was submitted"
}
