package file

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// SinkOption changes how CSV, JSONLines and Raw write.
type SinkOption func(*sinkOptions)

// RollSize ends a file when it has so many bytes: behind the batch of records that reaches it, so it may be some
// larger. By default only checkpoints, and the end of the input, end a file.
func RollSize(bytes int64) SinkOption {
	return func(o *sinkOptions) { o.size, o.sizeSet = bytes, true }
}

// RollAge ends a file so long after its first record. That is looked at when records come, so a file may grow
// older while there are none.
func RollAge(age time.Duration) SinkOption {
	return func(o *sinkOptions) { o.age, o.ageSet = age, true }
}

// Bucket spreads the records over directories below the sink's: bucket names that of a record, as "2026-01-31" or
// "country=fi/city=oulu". Whatever it returns, it is a place below: parts of it that are empty are left out, a dot at
// the beginning of a part, "\" and control characters are replaced by "%" and two digits, and long names are cut.
// With buckets a subtask without records writes no file. T is the type of the sink's records.
func Bucket[T any](bucket func(record T) string) SinkOption {
	return func(o *sinkOptions) { o.bucket = bucket }
}

// MaxOpen sets how many files a subtask with buckets has open at the same time, 64 by default. Beyond that it closes
// the one that was written to least recently, and opens it again for more. Each takes up to 128 kB of memory.
func MaxOpen(files int) SinkOption {
	return func(o *sinkOptions) { o.maxOpen = files }
}

// Extension sets what the names of the files end with, without the dot.
func Extension(ext string) SinkOption { return func(o *sinkOptions) { o.ext = ext } }

// NoHeader leaves out, of CSV, the line of column names at the beginning of each file.
func NoHeader() SinkOption { return func(o *sinkOptions) { o.noHeader = true } }

// Separator sets what Raw writes behind each record: "\n" by default. "" writes nothing.
func Separator(text string) SinkOption {
	return func(o *sinkOptions) { o.separator, o.separatorSet = text, true }
}

// rolling tells when a file ends, and what it is called.
type rolling struct {
	size    int64         // 0: whatever it has
	age     time.Duration // 0: however old
	maxOpen int
	ext     string
}

type sinkOptions struct {
	rolling
	sizeSet, ageSet, separatorSet bool
	bucket                        any // func(T) string, T being as yet unknown
	noHeader                      bool
	separator                     string
}

func newSinkOptions(ext string, options []SinkOption) sinkOptions {
	o := sinkOptions{rolling: rolling{ext: ext, maxOpen: 64}, separator: "\n"}
	for _, option := range options {
		option(&o)
	}
	return o
}

// check reports options that make no sense, or not in a format.
func (o *sinkOptions) check(format string) error {
	switch {
	case o.sizeSet && o.size < 1:
		return fmt.Errorf("file.RollSize of %d bytes: expected a positive number", o.size)
	case o.ageSet && o.age <= 0:
		return fmt.Errorf("file.RollAge of %v: expected a positive duration", o.age)
	case o.maxOpen < 1:
		return fmt.Errorf("file.MaxOpen of %d files: expected at least 1", o.maxOpen)
	case o.ext == "" || strings.HasPrefix(o.ext, ".") || strings.ContainsFunc(o.ext, notInExtension):
		return fmt.Errorf("file.Extension %q: expected letters, digits, and dots between them", o.ext)
	case o.noHeader && format != "CSV":
		return errors.New("file.NoHeader is for file.CSV")
	case o.separatorSet && format != "Raw":
		return errors.New("file.Separator is for file.Raw")
	}
	return nil
}

func notInExtension(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.'
}
