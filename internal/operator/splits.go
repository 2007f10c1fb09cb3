package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// NewSplits returns the driver that runs list once and hands on what it emits, one split at a
// time, so that each goes to a reader that has time for it. List runs in a goroutine of its own, as the
// function of a FuncReader does: its ctx ends when the driver is closed.
func NewSplits[S any](w *Wiring, name string, list func(ctx context.Context, emit func(S) error) error, out Receiver[S]) Driver {
	s := &splits[S]{w: w, name: name, list: list, out: out, restored: w.Taken()}
	if s.codec, s.err = record.CodecOf[listed[S]](); s.err == nil {
		s.err = s.restore(w.Restored(name, sourceState))
	}
	w.Remember(name, s)
	return s
}

type splits[S any] struct {
	w      *Wiring
	name   string
	list   func(ctx context.Context, emit func(S) error) error
	out    Receiver[S]
	reader Reader[S] // of what list emits; nil: not begun
	failed error     // what list returned; the reader's end orders the accesses
	buf    [1]S

	codec    *record.Codec[listed[S]]
	err      error // of what was restored
	done     listed[S]
	restored job.CheckpointID
	skipped  uint64 // of those that had been handed on, how many list has emitted again
	skip     uint64 // how many it is to
}

// listed is how far an enumeration has come.
type listed[S any] struct {
	Splits uint64 // that were handed on
	Last   S      // of them
	Ended  bool   // there are no more
}

func (s *splits[S]) Step() (Outcome, error) {
	s.w.Enter(s.name)
	if s.err != nil {
		return Worked, s.err
	}
	if id := s.w.Announced(); id != 0 {
		if err := s.w.Checkpoint(id, s.out.Event); err != nil {
			return Worked, err
		}
		s.w.Enter(s.name)
	}
	if s.done.Ended {
		return Done, s.out.End()
	}
	if s.reader == nil {
		s.reader = FuncReader(s.w.ctx, s.run)
	}
	n, err := s.reader.Next(s.buf[:])
	if n > 0 {
		if err := s.take(s.buf[0]); err != nil {
			return Worked, err
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return s.end()
	case err != nil || n > 0:
		return Worked, err
	}
	return Waiting, nil
}

func (s *splits[S]) run(ctx context.Context, emit func(S)) error {
	s.failed = s.list(ctx, func(split S) error { emit(split); return nil })
	return s.failed
}

// end is reached when list has returned nil, or an error that io.EOF is part of.
func (s *splits[S]) end() (Outcome, error) {
	switch {
	case s.failed != nil:
		return Worked, s.failed
	case s.skipped < s.skip:
		return Worked, fmt.Errorf("the input has changed since checkpoint %d: it had at least %d splits and has %d",
			s.restored, s.skip, s.skipped)
	}
	s.done.Ended = true
	return Done, s.out.End()
}

// take hands a split on, unless that was done before the checkpoint.
func (s *splits[S]) take(split S) error {
	if s.skipped < s.skip {
		s.skipped++
		if s.skipped == s.skip && !reflect.DeepEqual(split, s.done.Last) {
			return fmt.Errorf("the input has changed since checkpoint %d: its split %d was %v and is %v",
				s.restored, s.skip, s.done.Last, split)
		}
		return nil
	}
	s.w.In.Add(1)
	if err := s.handOn(split); err != nil {
		return err
	}
	s.done.Splits, s.done.Last = s.done.Splits+1, split
	return nil
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

// Snapshot returns how far the enumeration has come.
func (s *splits[S]) Snapshot() ([]Snapshot, error) {
	one, err := state.Small(sourceState, job.PositionState, s.codec, []listed[S]{s.done})
	return []state.Snapshot{one}, err
}

// restore takes the one state that there is: an enumerator has one subtask.
func (s *splits[S]) restore(states []Restored) error {
	for _, piece := range states {
		err := state.ReadPiece(piece, s.codec, func(values []listed[S]) error {
			s.done = values[len(values)-1]
			return nil
		})
		if err != nil {
			return fmt.Errorf("the state of operator %q, written by its subtask %d: %w", s.name, piece.Subtask, err)
		}
	}
	s.skip = s.done.Splits
	return nil
}

func (s *splits[S]) Wait(ctx context.Context, wake <-chan time.Time) {
	var ready <-chan struct{}
	if s.reader != nil {
		ready = s.reader.Ready()
	}
	select {
	case <-ready:
	case <-s.w.Wake():
	case <-wake:
	case <-ctx.Done():
	}
}

func (s *splits[S]) WakeAt() time.Time { return time.Time{} }

func (s *splits[S]) Close() error {
	if s.reader == nil {
		return nil
	}
	return s.reader.Close()
}
