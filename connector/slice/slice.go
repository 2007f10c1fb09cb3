// Package slice reads a Go slice: for tests, examples, and small tables that live in a job's code.
//
// Semantics: exactly-once. The index of the next value is part of a checkpoint.
//
// The values are part of the job's binary, or made by it as it starts; they do not travel, so every
// process of a job must make the same ones, also after it started over. It starts no goroutine.
package slice

import (
	"fmt"
	"io"

	"github.com/perennial-io/perennial/connector"
)

// Of is the bounded source of values. Each reader gets its part of them in order. The slice is
// not copied: it must not change any more. What pointers, slices and maps in it lead to is shared.
func Of[T any](values ...T) connector.Source[T] { return source[T](values) }

type source[T any] []T

func (s source[T]) Bounded() bool { return true }

func (s source[T]) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	return connector.Ranges(ctx, int64(len(s)), emit)
}

func (s source[T]) Open(_ *connector.Context, split connector.Split) (connector.Reader[T], error) {
	if split.From < 0 || split.To < split.From || split.To > int64(len(s)) {
		return nil, fmt.Errorf("slice of %d values: split from %d to %d", len(s), split.From, split.To)
	}
	return &reader[T]{rest: s[split.From:split.To], end: split.To}, nil
}

type reader[T any] struct {
	rest []T
	end  int64 // index of what follows rest
}

func (r *reader[T]) Next(dst []T) (int, error) {
	n := copy(dst, r.rest)
	r.rest = r.rest[n:]
	if len(r.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (r *reader[T]) Remaining() connector.Split {
	return connector.Split{From: r.end - int64(len(r.rest)), To: r.end}
}

func (r *reader[T]) Ready() <-chan struct{} { return nil }
func (r *reader[T]) Close() error           { return nil }
