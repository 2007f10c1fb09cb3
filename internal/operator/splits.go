package operator

import (
	"context"
	"time"
)

// NewSplits returns the driver that runs list once and hands on what it emits, one split at a
// time, so that each goes to a reader that has time for it.
func NewSplits[S any](w *Wiring, name string, list func(emit func(S) error) error, out Receiver[S]) Driver {
	return &splits[S]{w: w, name: name, list: list, out: out}
}

type splits[S any] struct {
	w    *Wiring
	name string
	list func(emit func(S) error) error
	out  Receiver[S]
	lost error // the first split that could not be handed on: list may not pass it on
}

func (s *splits[S]) Step() (Outcome, error) {
	s.w.Enter(s.name)
	if err := s.list(s.emit); err != nil {
		return Worked, err
	}
	if s.lost != nil {
		return Worked, s.lost
	}
	return Done, s.out.End()
}

func (s *splits[S]) emit(split S) error {
	if s.lost == nil {
		s.w.In.Add(1)
		s.lost = s.handOn(split)
	}
	return s.lost
}

func (s *splits[S]) handOn(split S) error {
	if err := s.out.Batch([]S{split}); err != nil {
		return err
	}
	for _, f := range s.w.Flushers() {
		if err := f.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Wait is never called: the one step waits by itself.
func (s *splits[S]) Wait(context.Context, <-chan time.Time) {}

func (s *splits[S]) WakeAt() time.Time { return time.Time{} }
func (s *splits[S]) Close() error      { return nil }
