package operator

import (
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// SinkWriter is what a sink writes with; connector.SinkWriter tells what each method promises.
type SinkWriter[T any] interface {
	Write(records []T) error
	Flush() error
	Prepare() ([]job.Output, error)
	Finish() ([]job.Output, error)
	Abort() error
}

// Sink returns the last step of a chain, which writes by sw, and has it flushed and finished by
// the subtask's loop.
func Sink[T any](w *Wiring, name string, sw SinkWriter[T], maxAge time.Duration) Receiver[T] {
	s := &sink[T]{SinkWriter: sw, w: w, name: name, maxAge: maxAge}
	s.hold(w.taken, w.share[name])
	w.flushers = append(w.flushers, s)
	w.sinks = append(w.sinks, s)
	return s
}

type sink[T any] struct {
	SinkWriter[T]
	w        *Wiring
	name     string
	maxAge   time.Duration
	since    time.Time // when the oldest unflushed batch came; zero: none
	finished bool
	held     []held // what the writer is done with, until it is visible
}

// held is an output that each checkpoint names until it is published (R3).
type held struct {
	since  job.CheckpointID // the first that named it
	output job.Output
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

// hold adds what the checkpoint is the first to name, and forgets what is visible.
func (s *sink[T]) hold(id job.CheckpointID, outputs []job.Output) {
	visible := job.CheckpointID(s.w.published.Load())
	s.held = slices.DeleteFunc(s.held, func(h held) bool { return h.since <= visible })
	for _, o := range outputs {
		s.held = append(s.held, held{id, o})
	}
}

func (s *sink[T]) all() []job.OperatorOutput {
	var list []job.OperatorOutput
	for _, h := range s.held {
		list = append(list, job.OperatorOutput{Operator: s.name, Output: h.output})
	}
	return list
}

func (s *sink[T]) Prepare(id job.CheckpointID) ([]job.OperatorOutput, error) {
	if s.finished {
		s.hold(id, nil)
		return s.all(), nil
	}
	s.w.Enter(s.name)
	s.since = time.Time{}
	failpoint.SinkPrepares.Reached()
	outputs, err := s.SinkWriter.Prepare()
	if err != nil {
		return nil, err
	}
	failpoint.SinkPrepared.Reached()
	s.hold(id, outputs)
	return s.all(), nil
}

func (s *sink[T]) Finish() ([]job.OperatorOutput, error) {
	s.w.Enter(s.name)
	s.finished = true
	outputs, err := s.SinkWriter.Finish()
	if err != nil {
		return nil, err
	}
	s.hold(s.w.taken+1, outputs)
	return s.all(), nil
}

func (s *sink[T]) Abort() error {
	if s.finished {
		return nil
	}
	s.w.Enter(s.name)
	return s.SinkWriter.Abort()
}

// Settles is false: whoever ends the job, or completes a checkpoint, renames the files.
func (s *sink[T]) Settles() bool { return false }

func (s *sink[T]) Settle() error { return nil }

// Close needs nothing: Finish and Abort close the writer.
func (s *sink[T]) Close() error { return nil }
