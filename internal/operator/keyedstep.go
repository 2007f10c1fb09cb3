package operator

import (
	"errors"

	"github.com/perennial-io/perennial/internal/record"
)

// Step returns the step of the operator's input of that number, whose records belong to keys: f is called for
// each, with its key at hand.
func Step[K comparable, T, R any](o *KeyedOperator[K, R], input int, key func(T) K, f func(T) error) Receiver[T] {
	return newKeyedStep(o, input, key, f)
}

// BroadcastStep returns the step of an input of which every subtask gets every record: f is called for
// each, with no key at hand.
func BroadcastStep[K comparable, T, R any](o *KeyedOperator[K, R], input int, f func(T) error) Receiver[T] {
	return newKeyedStep(o, input, nil, f)
}

func newKeyedStep[K comparable, T, R any](o *KeyedOperator[K, R], input int, key func(T) K, f func(T) error) Receiver[T] {
	if f == nil {
		Fail(o, errNoFunction)
	}
	s := &keyedStep[K, T, R]{o: o, key: key, f: f}
	if o.w == nil { // the job is planned
		return s
	}
	if s.survivor = SurvivorOf[T](o.w, o.name, input); s.survivor != nil {
		s.through, s.pass = s.tryOn, o.end
		o.bury(s.survivor.dead)
	}
	return Guard[T](o.w, o.name, s)
}

var errNoFunction = errors.New("what makes its functions returned nil where a function for records was expected")

type keyedStep[K comparable, T, R any] struct {
	o   *KeyedOperator[K, R]
	key func(T) K // nil: every subtask gets every record
	f   func(T) error

	survivor      *Survivor[T] // nil: a record that fails fails the job
	through, pass func() error // bound once
}

func (s *keyedStep[K, T, R]) Batch(records []T) error {
	s.o.begin()
	s.o.broadcasting = s.key == nil
	err := s.each(records)
	s.o.broadcasting = false
	s.o.store.ClearKey() // it would pin the batch
	if err != nil {
		return err
	}
	s.o.store.Sweep(len(records))
	return s.o.end()
}

func (s *keyedStep[K, T, R]) each(records []T) error {
	if s.survivor != nil {
		s.o.holds = true
		err := s.survivor.batch(records, s.through, s.pass)
		s.o.holds = false
		return err
	}
	for i := range records {
		if s.key != nil {
			s.o.store.SetKey(s.key(records[i]))
		}
		if err := s.one(&records[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *keyedStep[K, T, R]) one(record *T) error {
	if err := s.f(*record); err != nil {
		return err
	}
	if err := s.o.store.Err(); err != nil {
		return err
	}
	return s.o.err
}

// tryOn tries the records from the one in hand on, until one fails, there is enough to hand on, or there
// are no more. What a record that fails had emitted is dropped.
func (s *keyedStep[K, T, R]) tryOn() error {
	v, o := s.survivor, s.o
	emitted, failed := len(o.buf), true
	defer func() {
		if failed {
			o.takeBack(emitted)
		}
	}()
	for size := record.BatchSize[R](); v.at < len(v.records) && len(o.buf) < size; v.at++ {
		emitted = len(o.buf)
		if s.key != nil {
			v.fatal = true // what is sent by key fails the job there
			o.store.SetKey(s.key(v.records[v.at]))
			v.fatal = false
		}
		if err := s.one(&v.records[v.at]); err != nil {
			return err
		}
	}
	failed = false
	return nil
}

func (s *keyedStep[K, T, R]) Event(e record.Event) error { return s.o.event(e) }
func (s *keyedStep[K, T, R]) End() error                 { return s.o.finish() }
