// Package generator makes records out of their numbers: element i of a sequence is a function of i
// alone. It is for demos, tests and benchmarks, and for a job that begins with a range of numbers.
//
// It starts no goroutine. For a rate, wrap a generator in connector.Throttle.
package generator

import (
	"fmt"
	"io"

	"github.com/perennial-io/perennial/connector"
)

// Count is the source of element(0) to element(n-1). Each reader gets them in ascending order, in
// ranges of up to 65536. element is called by many goroutines, and must depend on i alone, as a
// record is made again when the job starts over.
func Count[T any](n uint64, element func(i uint64) T) connector.Source[T] {
	return sequence[T]{n: n, element: element}
}

// Unbounded is the source of element(0), element(1), … without end; else as Count.
func Unbounded[T any](element func(i uint64) T) connector.Source[T] {
	return sequence[T]{n: connector.Endless, element: element, unbounded: true}
}

type sequence[T any] struct {
	n         uint64
	element   func(uint64) T
	unbounded bool
}

func (s sequence[T]) Bounded() bool { return !s.unbounded }

// Check reports a length that cannot be counted, and a missing function.
func (s sequence[T]) Check(*connector.Context) error {
	if s.n > connector.Endless {
		return fmt.Errorf("generator of %d records: expected at most %d", s.n, int64(connector.Endless))
	}
	if s.element == nil {
		return fmt.Errorf("generator without a function that makes element i")
	}
	return nil
}

func (s sequence[T]) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	return connector.Ranges(ctx, int64(s.n), emit)
}

func (s sequence[T]) Open(_ *connector.Context, split connector.Split) (connector.Reader[T], error) {
	return &reader[T]{next: uint64(split.From), end: uint64(split.To), element: s.element}, nil
}

type reader[T any] struct {
	next, end uint64
	element   func(uint64) T
}

func (r *reader[T]) Next(dst []T) (int, error) {
	n := int(min(r.end-r.next, uint64(len(dst))))
	for i := range dst[:n] {
		dst[i] = r.element(r.next + uint64(i))
	}
	r.next += uint64(n)
	if r.next == r.end {
		return n, io.EOF
	}
	return n, nil
}

func (r *reader[T]) Ready() <-chan struct{} { return nil }
func (r *reader[T]) Close() error           { return nil }
