package operator

import "github.com/perennial-io/perennial/internal/record"

// Tee returns a Receiver that hands each batch to every one of outs: a copy to all but the
// last, since each may overwrite what it gets.
func Tee[T any](outs []Receiver[T]) Receiver[T] {
	if len(outs) == 1 {
		return outs[0]
	}
	return &tee[T]{outs: outs}
}

type tee[T any] struct {
	outs []Receiver[T]
	buf  []T
}

func (t *tee[T]) Batch(records []T) error {
	last := len(t.outs) - 1
	for _, out := range t.outs[:last] {
		t.buf = append(t.buf[:0], records...)
		if err := out.Batch(t.buf); err != nil {
			return err
		}
	}
	return t.outs[last].Batch(records)
}

func (t *tee[T]) Event(e record.Event) error {
	for _, out := range t.outs {
		if err := out.Event(e); err != nil {
			return err
		}
	}
	return nil
}

func (t *tee[T]) End() error {
	for _, out := range t.outs {
		if err := out.End(); err != nil {
			return err
		}
	}
	return nil
}
