package operator

import (
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// SinkWriter is what a sink writes with; connector.SinkWriter tells what each method promises.
type SinkWriter[T any] interface {
	Write(records []T) error
	Flush() error
	Finish() ([]job.Output, error)
	Abort() error
}

// Sink returns the last step of a chain, which writes by sw, and has it flushed and finished by
// the subtask's loop.
func Sink[T any](w *Wiring, name string, sw SinkWriter[T], maxAge time.Duration) Receiver[T] {
	s := &sink[T]{SinkWriter: sw, w: w, name: name, maxAge: maxAge}
	w.flushers = append(w.flushers, s)
	w.sinks = append(w.sinks, s)
	return s
}

type sink[T any] struct {
	SinkWriter[T]
	w      *Wiring
	name   string
	maxAge time.Duration
	since  time.Time // when the oldest unflushed batch came; zero: none
}

func (s *sink[T]) Batch(records []T) error {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return s.Write(records)
}

// Event needs nothing: a sink passes nothing on.
func (s *sink[T]) Event(record.Event) error { return nil }

// End needs nothing: the loop calls Finish once every step has ended.
func (s *sink[T]) End() error { return nil }

func (s *sink[T]) Deadline() (time.Time, bool) {
	return s.since.Add(s.maxAge), !s.since.IsZero()
}

func (s *sink[T]) Flush() error {
	s.w.Enter(s.name)
	s.since = time.Time{}
	return s.SinkWriter.Flush()
}

func (s *sink[T]) Finish() ([]job.Output, error) {
	s.w.Enter(s.name)
	return s.SinkWriter.Finish()
}

func (s *sink[T]) Abort() error {
	s.w.Enter(s.name)
	return s.SinkWriter.Abort()
}
