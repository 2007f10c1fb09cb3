package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/perennial-io/perennial/stream"
)

// A witness notes when each attempt of a subtask took its first record and its last, in a file of 16 bytes that outlives a killed
// process. With "taskmanager.isolated: pause" no two attempts of a subtask may overlap (I5, its first half).

// witnessed lets records through, and notes them below dir, unless that is "".
func witnessed(rows stream.Stream[Row], dir string, opts ...stream.Option) stream.Stream[Row] {
	if dir == "" {
		return rows
	}
	return stream.Apply(rows, "witness", func(ctx *stream.Context) (func(Row, func(Row)) error, error) {
		err := os.MkdirAll(dir, 0o755)
		if err != nil {
			return nil, err
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d-%d", ctx.Subtask(), ctx.Attempt())))
		if err != nil {
			return nil, err
		}
		var seen [16]byte
		return func(r Row, emit func(Row)) error {
			now := uint64(time.Now().UnixNano())
			if binary.NativeEndian.Uint64(seen[:8]) == 0 {
				binary.NativeEndian.PutUint64(seen[:8], now)
			}
			binary.NativeEndian.PutUint64(seen[8:], now)
			_, err := f.WriteAt(seen[:], 0)
			emit(r)
			return err
		}, nil
	}, opts...)
}

// span is when an attempt of a subtask took records, in nanoseconds of the machine's clock.
type span struct {
	subtask, attempt int
	first, last      int64
}

// overlapping lists what a witness saw of attempts that took records at the same time.
func overlapping(dir string) (wrong []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	var all []span
	for _, name := range files {
		var s span
		_, bad := fmt.Sscanf(filepath.Base(name), "%d-%d", &s.subtask, &s.attempt)
		text, unread := os.ReadFile(name)
		if err := errors.Join(bad, unread); err != nil {
			return nil, err
		}
		if len(text) < 16 { // it took none
			continue
		}
		s.first, s.last = int64(binary.NativeEndian.Uint64(text)), int64(binary.NativeEndian.Uint64(text[8:]))
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b span) int { return a.attempt - b.attempt })
	for i, b := range all {
		for _, a := range all[:i] {
			if a.subtask == b.subtask && a.last >= b.first {
				wrong = append(wrong, fmt.Sprintf("subtask %d: attempt %d took a record %v after attempt %d had begun to", a.subtask, a.attempt, time.Duration(a.last-b.first), b.attempt))
			}
		}
	}
	return wrong, nil
}
