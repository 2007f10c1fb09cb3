// Package generator makes records out of their numbers: element i of a sequence is a function of i
// alone. It is for demos, tests and benchmarks, and for a job that begins with a range of numbers.
//
// Semantics: exactly-once. The number of the next element is part of a checkpoint.
//
// It starts no goroutine. stream.Rate, given to stream.From, slows a generator down.
package generator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/perennial-io/perennial/connector"
)

// Count is the bounded source of element(0) to element(n-1), handed out in ranges of up to 65536 in
// ascending order. element is called by many goroutines, and must depend on i alone: it is called
// again for the same i when the job starts over.
func Count[T any](n uint64, element func(i uint64) T) connector.Source[T] {
	if element == nil {
		return counted[T]{n: n}
	}
	return counted[T]{n: n, fill: func(first uint64, dst []T) {
		for i := range dst {
			dst[i] = element(first + uint64(i))
		}
	}}
}

// Fill is Count for large records: write makes element i where it is wanted. What lies there
// before is undefined.
func Fill[T any](n uint64, write func(i uint64, record *T)) connector.Source[T] {
	if write == nil {
		return counted[T]{n: n}
	}
	return counted[T]{n: n, fill: func(first uint64, dst []T) {
		for i := range dst {
			write(first+uint64(i), &dst[i])
		}
	}}
}

// Unbounded is the source of element(0), element(1), … without end. Of n readers each takes every
// n-th element, in ascending order. element is as in Count.
func Unbounded[T any](element func(i uint64) T) connector.Source[T] {
	return endless[T]{element}
}

var errNoElement = errors.New("generator without a function that makes its elements")

type counted[T any] struct {
	n    uint64
	fill func(first uint64, dst []T) // nil: there is no function
}

func (s counted[T]) Bounded() bool { return true }

// Check reports a length that cannot be counted, and a missing function.
func (s counted[T]) Check(*connector.Context) error {
	if s.n > math.MaxInt64 {
		return fmt.Errorf("generator of %d elements: expected at most %d", s.n, math.MaxInt64)
	}
	if s.fill == nil {
		return errNoElement
	}
	return nil
}

func (s counted[T]) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	return connector.Ranges(ctx, int64(s.n), emit)
}

func (s counted[T]) Open(_ *connector.Context, split connector.Split) (connector.Reader[T], error) {
	if split.From < 0 || split.To < split.From {
		return nil, fmt.Errorf("generator: split from %d to %d", split.From, split.To)
	}
	return &rangeReader[T]{next: uint64(split.From), end: uint64(split.To), fill: s.fill}, nil
}

type rangeReader[T any] struct {
	next, end uint64
	fill      func(first uint64, dst []T)
}

func (r *rangeReader[T]) Next(dst []T) (int, error) {
	n := int(min(r.end-r.next, uint64(len(dst))))
	r.fill(r.next, dst[:n])
	r.next += uint64(n)
	if r.next == r.end {
		return n, io.EOF
	}
	return n, nil
}

func (r *rangeReader[T]) Remaining() connector.Split {
	return connector.Split{From: int64(r.next), To: int64(r.end)}
}

func (r *rangeReader[T]) Ready() <-chan struct{} { return nil }
func (r *rangeReader[T]) Close() error           { return nil }

type endless[T any] struct{ element func(uint64) T }

func (s endless[T]) Bounded() bool { return false }

// Check reports a missing function.
func (s endless[T]) Check(*connector.Context) error {
	if s.element == nil {
		return errNoElement
	}
	return nil
}

// Splits emits one split per reader. The step from one element to the next travels with it, as the
// number of readers may be another when the split is opened again.
func (s endless[T]) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	step := ctx.Parallelism()
	for i := range step {
		if err := emit(endlessFrom(uint64(i), uint64(step))); err != nil {
			return err
		}
	}
	return nil
}

func endlessFrom(next, step uint64) connector.Split {
	return connector.Split{From: int64(next), To: math.MaxInt64, Data: binary.AppendUvarint(nil, step)}
}

func (s endless[T]) Open(_ *connector.Context, split connector.Split) (connector.Reader[T], error) {
	step, n := binary.Uvarint(split.Data)
	if n <= 0 || step == 0 {
		return nil, fmt.Errorf("generator: split without a step: %x", split.Data)
	}
	return &stepReader[T]{next: uint64(split.From), step: step, element: s.element}, nil
}

type stepReader[T any] struct {
	next, step uint64
	element    func(uint64) T
}

func (r *stepReader[T]) Next(dst []T) (int, error) {
	for i := range dst {
		dst[i] = r.element(r.next)
		r.next += r.step
	}
	return len(dst), nil
}

func (r *stepReader[T]) Remaining() connector.Split { return endlessFrom(r.next, r.step) }

func (r *stepReader[T]) Ready() <-chan struct{} { return nil }
func (r *stepReader[T]) Close() error           { return nil }
