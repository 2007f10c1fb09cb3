package file

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/output"
)

// writer writes hidden part files: one at a time in each bucket. A checkpoint ends them, and so do their size and
// age; the next record begins another one.
type writer[T any] struct {
	sink[T]
	dir   string
	next  output.Name          // of the next part
	parts map[string]*partFile // those that are not ended, by bucket; "" where there are none
	open  int                  // of them
	uses  uint64               // counts what was written
	ended []connector.Output   // since the last Prepare
	some  bool                 // this subtask has ended a file, so that it needs no empty one
}

// begin begins a part in a bucket.
func (w *writer[T]) begin(bucket string) (*partFile, error) {
	dir := w.dir
	if bucket != "" {
		dir = filepath.Join(w.dir, filepath.FromSlash(bucket))
		if err := makeDir(dir); err != nil {
			return nil, fmt.Errorf("output: bucket %q: %w", bucket, err)
		}
	}
	if err := w.makeRoom(); err != nil {
		return nil, err
	}
	p, err := newPart(w.next.In(dir), w.encode.header())
	if err != nil {
		return nil, err
	}
	w.next.Sequence++
	w.open++
	w.parts[strings.Clone(bucket)] = p
	return p, nil
}

// makeRoom closes a part, if as many are open as may be.
func (w *writer[T]) makeRoom() error {
	if w.open < w.maxOpen {
		return nil
	}
	var oldest *partFile
	for _, p := range w.parts {
		if p.file != nil && (oldest == nil || p.used < oldest.used) {
			oldest = p
		}
	}
	w.open--
	return oldest.suspend()
}

// opened makes sure that p is open.
func (w *writer[T]) opened(p *partFile) error {
	if p.file != nil {
		return nil
	}
	if err := w.makeRoom(); err != nil {
		return err
	}
	w.open++
	return p.resume()
}

// Write splits the records into runs of one bucket.
func (w *writer[T]) Write(records []T) error {
	if w.bucket == nil {
		return w.write("", records)
	}
	for len(records) > 0 {
		bucket, n := w.bucket(records[0]), 1
		for n < len(records) && w.bucket(records[n]) == bucket {
			n++
		}
		if err := w.write(bucketDir(bucket), records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

func (w *writer[T]) write(bucket string, records []T) (err error) {
	if len(records) == 0 {
		return nil
	}
	p := w.parts[bucket]
	if p == nil {
		if p, err = w.begin(bucket); err != nil {
			return err
		}
	}
	if err := w.opened(p); err != nil {
		return err
	}
	w.uses++
	p.used = w.uses
	before := len(p.text)
	if p.text, err = w.encode.appendRecords(p.text, records); err != nil {
		return fmt.Errorf("write %s: %w", p.out.Final, err)
	}
	p.size += int64(len(p.text) - before)
	if p.filled.IsZero() {
		p.filled = time.Now()
	}
	switch {
	case w.rolls(p):
		return w.end(bucket, p)
	case len(p.text) >= writeSize:
		return p.flush()
	}
	return nil
}

// rolls reports whether p, which has a record, is large or old enough.
func (w *writer[T]) rolls(p *partFile) bool {
	return w.size > 0 && p.size >= w.size || w.age > 0 && time.Since(p.filled) >= w.age
}

// end ends a part. After an error it is still among the parts, for Abort.
func (w *writer[T]) end(bucket string, p *partFile) error {
	if err := w.opened(p); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	w.open--
	delete(w.parts, bucket)
	w.ended = append(w.ended, p.out)
	w.some = true
	return nil
}

// Flush writes out what was gathered, and ends what has grown old.
func (w *writer[T]) Flush() error {
	for bucket, p := range w.parts {
		var err error
		if !p.filled.IsZero() && w.rolls(p) {
			err = w.end(bucket, p)
		} else {
			err = p.flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Prepare ends each part that has a record. After an error they are Abort's.
func (w *writer[T]) Prepare() ([]connector.Output, error) {
	for _, bucket := range slices.Sorted(maps.Keys(w.parts)) {
		if p := w.parts[bucket]; !p.filled.IsZero() {
			if err := w.end(bucket, p); err != nil {
				return nil, err
			}
		}
	}
	outputs := w.ended
	w.ended = nil
	return outputs, nil
}

// Finish ends all parts. One without a record is dropped if the subtask has ended another one. After an error all that was
// written since the last Prepare is gone.
func (w *writer[T]) Finish() ([]connector.Output, error) {
	outputs, err := w.Prepare()
	if err == nil && !w.some && len(w.parts) > 0 { // the one that Open began
		if err = w.end("", w.parts[""]); err == nil {
			outputs, w.ended = w.ended, nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return outputs, w.Abort()
}

// Abort removes what was written since the last Prepare: what is before that is no longer the writer's.
func (w *writer[T]) Abort() error {
	var errs []error
	for bucket, p := range w.parts {
		errs = append(errs, p.abort())
		delete(w.parts, bucket)
	}
	for _, o := range w.ended {
		errs = append(errs, remove(o))
	}
	w.ended, w.open = nil, 0
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("abort output: %w", err)
	}
	return nil
}
