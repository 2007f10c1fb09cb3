// Package objects is the contract of a place that keeps bytes under names: a directory
// (../local) or a part of an S3 bucket (../s3). It knows nothing of what the bytes mean, does no I/O
// and starts no goroutine. What every such place must do is a suite, ../storagetest.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// ErrName says that no object can have this name.
var ErrName = errors.New("not a name of an object")

// Store is such a place. An object is written once and never changed: a reader sees it whole or not at
// all, and once Create or Delete has returned everybody sees what it did.
//
// Names are paths with single slashes, below the place; CheckName says which. A failure of the place
// itself, such as a server that does not answer, comes in bounded time, and never as fs.ErrNotExist. Once
// ctx has ended every method fails with its cause or error, soon.
//
// All methods may be called at once, from several goroutines and processes.
type Store interface {
	// Create stores what write produces under name, unless something is there already: then that stays,
	// and created is false; write may have been called all the same. When write fails nothing is stored,
	// and its error is returned.
	Create(ctx context.Context, name string, write func(io.Writer) error) (created bool, err error)

	// Open returns an object's bytes and how many there are, or fails with fs.ErrNotExist. The reader
	// gives exactly that many, or fails; it fails once ctx has ended. The caller closes it.
	Open(ctx context.Context, name string) (r io.ReadCloser, size int64, err error)

	// List returns the names that are directly below dir ("": the place itself), sorted; those of
	// directories end in a slash. What does not exist has nothing below it.
	List(ctx context.Context, dir string) (names []string, err error)

	// Delete removes an object, if there is one, durably.
	Delete(ctx context.Context, name string) error

	// DeleteAll removes all that is below dir, in no order, and what killed writers left behind there.
	// Nobody may be writing there.
	DeleteAll(ctx context.Context, dir string) error

	// String is the place as a person would write it, for messages.
	String() string
}

// Read returns an object whole, or fails as Open does, or with ErrTooLarge when it has more than limit bytes.
func Read(ctx context.Context, s Store, name string, limit int64) ([]byte, error) {
	r, size, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read at once", ErrTooLarge, name, size, limit)
	}
	b := make([]byte, size)
	_, err = io.ReadFull(r, b)
	return b, err
}

// ErrTooLarge says that an object is larger than its reader expected.
var ErrTooLarge = errors.New("too large")

// Write makes of b what Create wants.
func Write(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// Check is what every method of a Store begins with: the name can be one, and ctx has not ended.
func Check(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return Ended(ctx)
}

// Ended is why ctx has ended, if it has.
func Ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// CheckName refuses, with ErrName, what could lead elsewhere or be taken for something else: names that are
// empty or absolute, have an empty, "." or ".." element or one that begins with a dot, which are for temporary files,
// or have anything but printable ASCII without a backslash in them.
func CheckName(name string) error {
	if !fs.ValidPath(name) || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		return fmt.Errorf("%w: %q; expected elements between single slashes, none of which begins with a dot", ErrName, name)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return fmt.Errorf("%w: %q; expected printable ASCII without spaces and backslashes", ErrName, name)
	}
	return nil
}
