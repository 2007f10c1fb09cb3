package operator

import (
	"errors"

	"github.com/perennial-io/perennial/internal/record"
)

// Step returns the step of an input whose records belong to keys: f is called for each, with its key at hand.
func Step[K comparable, T, R any](o *KeyedOperator[K, R], key func(T) K, f func(T) error) Receiver[T] {
	if f == nil {
		Fail(o, errNoFunction)
	}
	return Guard[T](o.w, o.name, &keyedStep[K, T, R]{o: o, key: key, f: f})
}

var errNoFunction = errors.New("what makes its functions returned nil where a function for records was expected")

type keyedStep[K comparable, T, R any] struct {
	o   *KeyedOperator[K, R]
	key func(T) K
	f   func(T) error
}

func (s *keyedStep[K, T, R]) Batch(records []T) error {
	s.o.begin()
	for i := range records {
		s.o.store.SetKey(s.key(records[i]))
		if err := s.f(records[i]); err != nil {
			return err
		}
		if s.o.err != nil {
			return s.o.err
		}
	}
	s.o.store.ClearKey() // it would pin the batch
	s.o.store.Sweep(len(records))
	return s.o.end()
}

func (s *keyedStep[K, T, R]) Event(e record.Event) error { return s.o.event(e) }
func (s *keyedStep[K, T, R]) End() error                 { return s.o.finish() }

// BroadcastStep returns the step of an input of which every subtask gets every record: f is called for
// each, with no key at hand.
func BroadcastStep[K comparable, T, R any](o *KeyedOperator[K, R], f func(T) error) Receiver[T] {
	if f == nil {
		Fail(o, errNoFunction)
	}
	return Guard[T](o.w, o.name, &broadcastStep[K, T, R]{o, f})
}

type broadcastStep[K comparable, T, R any] struct {
	o *KeyedOperator[K, R]
	f func(T) error
}

func (s *broadcastStep[K, T, R]) Batch(records []T) error {
	s.o.begin()
	s.o.broadcasting = true
	for i := range records {
		if err := s.f(records[i]); err != nil {
			return err
		}
		if s.o.err != nil {
			return s.o.err
		}
	}
	s.o.broadcasting = false
	return s.o.end()
}

func (s *broadcastStep[K, T, R]) Event(e record.Event) error { return s.o.event(e) }
func (s *broadcastStep[K, T, R]) End() error                 { return s.o.finish() }
