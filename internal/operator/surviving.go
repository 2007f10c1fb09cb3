package operator

import "github.com/perennial-io/perennial/internal/record"

// The steps of transform.go, as they are where a record that fails does not fail the job. They are a
// little dearer: each record's output lies in a buffer until it is known to be all of it, so that of a
// record that fails nothing is handed on.

// TryMap is Map that survives.
func TryMap[T, U any](s *Survivor[T], f func(T) U, out Receiver[U]) Receiver[T] {
	return newSurviving(s, func(rec *T, made []U) ([]U, error) { return append(made, f(*rec)), nil }, out)
}

// TryModify is Modify that survives. It works on a copy: a record that fails is given up as it came.
func TryModify[T any](s *Survivor[T], f func(*T), out Receiver[T]) Receiver[T] {
	return newSurviving(s, func(rec *T, made []T) ([]T, error) {
		made = append(made, *rec)
		f(&made[len(made)-1])
		return made, nil
	}, out)
}

// TryFilter is Filter that survives.
func TryFilter[T any](s *Survivor[T], keep func(T) bool, out Receiver[T]) Receiver[T] {
	return newSurviving(s, func(rec *T, made []T) ([]T, error) {
		if keep(*rec) {
			made = append(made, *rec)
		}
		return made, nil
	}, out)
}

// TryRetain is Retain that survives, on copies as TryModify.
func TryRetain[T any](s *Survivor[T], keep func(*T) bool, out Receiver[T]) Receiver[T] {
	return newSurviving(s, func(rec *T, made []T) ([]T, error) {
		made = append(made, *rec)
		if last := len(made) - 1; !keep(&made[last]) {
			made = made[:last]
		}
		return made, nil
	}, out)
}

// TryFlatMap is FlatMap that survives.
func TryFlatMap[T, U any](s *Survivor[T], f func(T, func(U)), out Receiver[U]) Receiver[T] {
	return TryApply(s, func(rec T, emit func(U)) error { f(rec, emit); return nil }, out)
}

// TryApply is Apply that survives.
func TryApply[T, U any](s *Survivor[T], f func(T, func(U)) error, out Receiver[U]) Receiver[T] {
	var made []U
	emit := func(v U) { made = append(made, v) } // bound once, so that no call allocates
	return newSurviving(s, func(rec *T, before []U) ([]U, error) {
		made = before
		err := f(*rec, emit)
		return made, err
	}, out)
}

// TryEach is the last step of a chain, which calls f for each record.
func TryEach[T any](s *Survivor[T], f func(T) error) Receiver[T] {
	return newSurviving(s, func(rec *T, made []struct{}) ([]struct{}, error) { return made, f(*rec) }, last{})
}

// last stands behind a last step: nothing comes.
type last struct{}

func (last) Batch([]struct{}) error   { return nil }
func (last) Event(record.Event) error { return nil }
func (last) End() error               { return nil }

// surviving is a step that goes on behind a record that makes its function fail.
type surviving[T, U any] struct {
	s *Survivor[T]
	// trial appends what becomes of a record to made. What it appended before it failed is dropped.
	trial func(rec *T, made []U) ([]U, error)
	out   Receiver[U]
	buf   []U

	through, pass func() error // tryOn and handOn, bound once
}

func newSurviving[T, U any](s *Survivor[T], trial func(*T, []U) ([]U, error), out Receiver[U]) Receiver[T] {
	v := &surviving[T, U]{s: s, trial: trial, out: out, buf: make([]U, 0, record.BatchSize[U]())}
	v.through, v.pass = v.tryOn, v.handOn
	return v
}

func (v *surviving[T, U]) Batch(records []T) error { return v.s.batch(records, v.through, v.pass) }

// tryOn tries the records from the one in hand on, until one fails, the buffer is full, or there are
// no more.
func (v *surviving[T, U]) tryOn() error {
	s := v.s
	for size := record.BatchSize[U](); s.at < len(s.records) && len(v.buf) < size; s.at++ {
		made, err := v.trial(&s.records[s.at], v.buf)
		if err != nil {
			return err
		}
		v.buf = made
	}
	return nil
}

// handOn hands on what was made, in batches of the usual size: a record may have made any number.
func (v *surviving[T, U]) handOn() error {
	size := record.BatchSize[U]()
	for begin := 0; begin < len(v.buf); begin += size {
		if err := v.out.Batch(v.buf[begin:min(begin+size, len(v.buf))]); err != nil {
			return err
		}
	}
	if v.buf = v.buf[:0]; cap(v.buf) > 8*size {
		v.buf = make([]U, 0, size)
	}
	return nil
}

func (v *surviving[T, U]) Event(e record.Event) error {
	if err := v.out.Event(e); err != nil {
		return err
	}
	return v.s.event(e)
}

func (v *surviving[T, U]) End() error {
	if err := v.out.End(); err != nil {
		return err
	}
	return v.s.end()
}
