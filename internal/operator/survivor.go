package operator

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// DeadLetter is a record that made a user function fail.
type DeadLetter[T any] struct {
	Record   T
	Error    string // what the function returned, or "panic: " and what it panicked with; at most 4 KiB
	Operator string
	Subtask  int
}

// maxLetter bounds the text of a DeadLetter's error, in bytes.
const maxLetter = 4 << 10

// quiet is for how long an operator says nothing more of records that fail, once it has.
const quiet = time.Minute

// Survivor is what one operator does, in one subtask, about records that make its function fail: it
// counts them, logs some, and hands them to the dead letters if there are any.
//
// A step that has one leaves its batches to batch. Snapshots need nothing of it: the letters of a batch
// have gone on when the batch has. State that a function changed before it failed stays changed.
type Survivor[T any] struct {
	w       *Wiring
	name    string
	lost    *atomic.Uint64
	dead    Receiver[DeadLetter[T]] // nil: the records are skipped
	letters []DeadLetter[T]
	told    uint64    // of lost, which an operator's inputs and timers share, when it was last logged here
	silent  time.Time // until when nothing is

	records []T  // the batch in hand
	at      int  // the record of it in hand
	fatal   bool // what is called now is not the operator's own function: its failure is not the record's
}

// Survival says that the records of one input of an operator may fail, or its timers.
type Survival struct {
	Input int   // from 0; or OfTimers
	Dead  *Node // takes DeadLetters, and has no step of its own; nil: what fails is skipped
}

// OfTimers stands for an operator's timers where its inputs have numbers.
const OfTimers = -1

// SurvivorOf returns the Survivor of an input of the named operator, whose records are of type T; nil if a
// record that fails there fails the job.
func SurvivorOf[T any](w *Wiring, name string, input int) *Survivor[T] {
	dead, survives := w.dead[door{name, input}]
	if !survives {
		return nil
	}
	s := &Survivor[T]{w: w, name: name, lost: &w.count(name).skipped}
	if dead != nil {
		s.dead = dead.(Receiver[DeadLetter[T]])
	}
	return s
}

// batch runs a batch in spite of records that fail. through calls the user's function for s.records,
// from s.at on, which it moves: it runs under one recover for many records, not one for each. It
// returns when there are no more, when it wants to hand on, or with the failure of the record in hand;
// then it is called again for those behind. What the function emitted, handOn hands on: outside of the
// recover, so that a failure of those that follow is not taken for one of the record.
func (s *Survivor[T]) batch(records []T, through, handOn func() error) error {
	s.records, s.at = records, 0
	for s.at < len(records) {
		failure := s.try(through)
		if failure != nil {
			if err := s.lose(records[s.at], failure); err != nil {
				return err
			}
			s.at++
		}
		if failure == nil || s.at == len(records) {
			if err := handOn(); err != nil {
				return err
			}
		}
	}
	s.records = nil
	return s.sendLetters()
}

// try calls f and returns its error, or its panic as one. A goroutine that f ends stays ended.
func (s *Survivor[T]) try(f func() error) (failure error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil { // else runtime.Goexit goes on
			failure = s.panicked(v)
		}
	}()
	failure = f()
	returned = true
	return failure
}

// panicked is a panic as an error. Its stack, which takes longer than many records do, is for the log.
func (s *Survivor[T]) panicked(v any) error {
	p := &PanicError{Value: v}
	if s.tells(time.Now()) {
		p.Stack = stackBelowPanic(string(debug.Stack()))
	}
	return p
}

// lose takes a record that failed. It returns the failure where that is not the record's: a
// function that waited ends with an error when the subtask is to stop, and state that cannot be read or is
// misused would fail for any record.
func (s *Survivor[T]) lose(rec T, failure error) error {
	if _, ok := errors.AsType[state.Failure](failure); ok || s.fatal || s.w.ctx.Err() != nil {
		return failure
	}
	n := s.lost.Add(1)
	if now := time.Now(); s.tells(now) {
		s.w.Context(s.name).Logger().Warn("a record, or a timer, failed and was given up; the job goes on",
			"given-up", n-s.told, "dead-letter", s.dead != nil, "error", failure)
		s.told, s.silent = n, now.Add(quiet)
	}
	if s.dead != nil {
		s.letters = append(s.letters, DeadLetter[T]{Record: rec, Error: textOf(failure), Operator: s.name, Subtask: s.w.cfg.Subtask})
	}
	return nil
}

func (s *Survivor[T]) tells(now time.Time) bool { return !now.Before(s.silent) }

func textOf(failure error) string {
	text := fmt.Sprint(failure) // not its own method: that may panic
	if p, ok := errors.AsType[*PanicError](failure); ok {
		text = fmt.Sprint("panic: ", p.Value)
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxLetter {
		text = strings.ToValidUTF8(text[:maxLetter], "") // the last letter may be cut
	}
	return text
}

// sendLetters hands what failed to the dead letters.
func (s *Survivor[T]) sendLetters() error {
	if len(s.letters) == 0 {
		return nil
	}
	err := s.dead.Batch(s.letters)
	clear(s.letters) // they would pin the batch
	s.letters = s.letters[:0]
	return err
}

func (s *Survivor[T]) event(e record.Event) error {
	if s.dead == nil {
		return nil
	}
	return s.dead.Event(e)
}

func (s *Survivor[T]) end() error {
	if s.dead == nil {
		return nil
	}
	return s.dead.End()
}

// survivors is the part of a Wiring that records which fail need.
type survivors struct {
	dead map[door]any // where records may fail: the Receiver of their dead letters, or nil
}

// door is an input of an operator, or its timers.
type door struct {
	operator string
	input    int
}

// survive says, before n's step is made, where its records go that fail.
func (w *Wiring) survive(n *Node, outlet func(edge int) (any, error)) (err error) {
	for _, s := range n.Survives {
		var dead any
		if s.Dead != nil {
			if dead, err = s.Dead.out(w, outlet); err != nil {
				return err
			}
		}
		if w.dead == nil {
			w.dead = make(map[door]any)
		}
		w.dead[door{n.Name, s.Input}] = dead
	}
	return nil
}
