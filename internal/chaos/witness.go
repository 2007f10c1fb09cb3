package chaos

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/perennial-io/perennial/stream"
)

// A witness notes when each attempt of a subtask took its first record and its last, in a file of 16 bytes for each process that
// ran it, which outlives a killed one. With "taskmanager.isolated: pause" no two attempts of a subtask may overlap (I5, its first half).

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
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d-%d-%d", ctx.Subtask(), ctx.Attempt(), os.Getpid())))
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

// span is when an attempt of a subtask took records in a process, in nanoseconds of the machine's clock.
type span struct {
	subtask, attempt, pid int
	first, last           int64
}

// spans reads what a witness noted below dir, in the order of attempts.
func spans(dir string) ([]span, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	var all []span
	for _, name := range files {
		var s span
		_, bad := fmt.Sscanf(filepath.Base(name), "%d-%d-%d", &s.subtask, &s.attempt, &s.pid)
		text, unread := os.ReadFile(name)
		if err := errors.Join(bad, unread); err != nil {
			return nil, fmt.Errorf("the witness's %s: %w", name, err)
		}
		if len(text) < 16 { // it took none
			continue
		}
		s.first, s.last = int64(binary.NativeEndian.Uint64(text)), int64(binary.NativeEndian.Uint64(text[8:]))
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(a.attempt-b.attempt, a.pid-b.pid) })
	return all, nil
}

// overlapping lists the attempts that took records at the same time, or in two processes; all are in the order of attempts.
func overlapping(all []span) (wrong []string) {
	for i, b := range all {
		for _, a := range all[:i] {
			switch {
			case a.subtask != b.subtask:
			case a.attempt == b.attempt:
				wrong = append(wrong, fmt.Sprintf("subtask %d: attempt %d took records in the processes %d and %d", a.subtask, a.attempt, a.pid, b.pid))
			case a.last >= b.first:
				wrong = append(wrong, fmt.Sprintf("subtask %d: attempt %d took a record %v after attempt %d had begun to", a.subtask, a.attempt, time.Duration(a.last-b.first), b.attempt))
			}
		}
	}
	return wrong
}
