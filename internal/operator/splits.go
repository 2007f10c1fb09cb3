package operator

import (
	"context"
	"fmt"
	"reflect"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// NewSplits returns the driver that runs list once and hands on what it emits, one split at a
// time, so that each goes to a reader that has time for it. After a failure list runs again, and what it had emitted
// before the checkpoint is dropped. Its ctx ends when the driver is closed.
func NewSplits[S any](w *Wiring, name string, list func(ctx context.Context, emit func(S) error) error, out Receiver[S]) Driver {
	s := &splits[S]{w: w, out: out, restored: w.Taken()}
	if s.codec, s.err = record.CodecOf[progress[S]](); s.err == nil {
		s.err = s.restore(name, w.Restored(name, sourceState))
	}
	w.Remember(name, s)
	emits := func(ctx context.Context, emit func(S)) error {
		return list(ctx, func(split S) error { emit(split); return nil })
	}
	return &lister[S]{w: w, name: name, emits: emits, listed: s, out: out}
}

// splits is listed by a function that lists the same after a failure.
type splits[S any] struct {
	w        *Wiring
	out      Receiver[S]
	codec    *record.Codec[progress[S]]
	err      error // of what was restored
	done     progress[S]
	restored job.CheckpointID
	skipped  uint64 // of those that had been handed on, how many came again
	skip     uint64 // how many are to
}

// progress is how far a list has come.
type progress[S any] struct {
	Splits uint64 // that were handed on
	Last   S      // of them
	Ended  bool   // there are no more
}

func (s *splits[S]) unusable() error { return s.err }

func (s *splits[S]) over() bool { return s.done.Ended }

func (s *splits[S]) end() error {
	if s.skipped < s.skip {
		return fmt.Errorf("the input has changed since checkpoint %d: it had at least %d splits and has %d",
			s.restored, s.skip, s.skipped)
	}
	s.done.Ended = true
	return nil
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
	if err := handOn(s.w, s.out, split); err != nil {
		return err
	}
	s.done.Splits, s.done.Last = s.done.Splits+1, split
	return nil
}

// Snapshot returns how far the list has come.
func (s *splits[S]) Snapshot() ([]Snapshot, error) {
	one, err := state.Small(sourceState, job.PositionState, s.codec, []progress[S]{s.done})
	return []state.Snapshot{one}, err
}

// restore takes the one state that there is: a lister has one subtask.
func (s *splits[S]) restore(name string, states []Restored) (err error) {
	s.done, err = lastOf(name, states, s.codec)
	s.skip = s.done.Splits
	return err
}

// lastOf returns the value of a state that has one, and one subtask.
func lastOf[T any](name string, states []Restored, codec *record.Codec[T]) (last T, err error) {
	for _, piece := range states {
		err := state.ReadPiece(piece, codec, func(values []T) error {
			last = values[len(values)-1]
			return nil
		})
		if err != nil {
			return last, fmt.Errorf("the state of operator %q, written by its subtask %d: %w", name, piece.Subtask, err)
		}
	}
	return last, nil
}
