package connectortest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/perennial-io/perennial/connector"
)

// A run is a job of a few checkpoints as a runtime makes it, with nothing but the sink's calls. Its attempts die
// before a step of a certain number; the next continues from the newest completed checkpoint, as often with
// another parallelism. In the end the output is that of a run that was not disturbed.
type run[T comparable] struct {
	*bench[T]
	attempt   int
	completed snapshot
	steps     int // that the present attempt has taken
	die       int // before which it dies; -1: it does not
}

// snapshot is a completed checkpoint.
type snapshot struct {
	id      int
	records int // that were taken in
	pending []pending
}

type pending struct {
	subtask     int
	committable connector.Committable
}

const (
	epochs   = 4 // checkpoints of a run, of which the second is aborted
	aborted  = 2
	perEpoch = 4 // records
)

// dieEverywhere runs a job that dies before each step in turn, then at two places, drawn.
func dieEverywhere[T comparable](fixture func() Fixture[T]) error {
	total, err := oneRun(fixture())
	if err != nil {
		return fmt.Errorf("undisturbed: %w", err)
	}
	for n := range total {
		if _, err := oneRun(fixture(), n); err != nil {
			return fmt.Errorf("it died before step %d of %d: %w", n, total, err)
		}
	}
	draw := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		places := []int{draw.IntN(total), draw.IntN(total / 2), draw.IntN(total / 4)}
		if _, err := oneRun(fixture(), places...); err != nil {
			return fmt.Errorf("its attempts died before their steps %v: %w", places, err)
		}
	}
	return nil
}

// oneRun makes a run whose first attempts die at these places, and returns how many steps the last took.
func oneRun[T comparable](f Fixture[T], places ...int) (int, error) {
	r := &run[T]{bench: &bench[T]{Fixture: f}}
	defer r.close()
	for err := errDied; err != nil; {
		r.attempt, r.steps, r.die = r.attempt+1, 0, -1
		if r.attempt <= len(places) {
			r.die = places[r.attempt-1]
		}
		if err = r.live(); err != nil && !errors.Is(err, errDied) {
			return r.steps, fmt.Errorf("attempt %d, step %d: %w", r.attempt, r.steps, err)
		}
	}
	var all []int
	for i := range epochs * perEpoch {
		all = append(all, i)
	}
	return r.steps, r.sees("in the end", all...)
}

// errDied ends an attempt. Its writers are left as they are.
var errDied = errors.New("the attempt has died")

// dies is a step: errDied at the one where the attempt dies.
func (r *run[T]) dies() error {
	r.steps++
	if r.die >= 0 && r.steps > r.die {
		return errDied
	}
	return nil
}

// live is an attempt: nil once the job has come to its end, errDied if it has not.
func (r *run[T]) live() error {
	held := slices.Clone(r.completed.pending)
	writers, err := r.recover(1+r.attempt%2, held)
	if err != nil {
		return err
	}
	if err := r.commitAll(writers, held); err != nil {
		return err
	}
	held = nil
	records := r.completed.records
	for id := r.completed.id + 1; id <= epochs; id++ {
		prepared, err := r.epoch(writers, records)
		if err != nil {
			return err
		}
		held, records = append(held, prepared...), records+perEpoch
		if err := r.dies(); err != nil {
			return err
		}
		if id == aborted {
			continue
		}
		r.completed = snapshot{id, records, slices.Clone(held)}
		if err := r.commitAll(writers, held); err != nil {
			return err
		}
		held = nil
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			return fmt.Errorf("Close: %w", err)
		}
	}
	return nil
}

// recover begins the writers of an attempt, whose restored checkpoint names held.
func (r *run[T]) recover(parallelism int, held []pending) (writers []*writer[T], err error) {
	var named []connector.Committable
	for _, p := range held {
		named = append(named, p.committable)
	}
	for i := range parallelism {
		if err := r.dies(); err != nil {
			return nil, err
		}
		w, err := r.begin(place{subtask: i, parallelism: parallelism, attempt: r.attempt}, named...)
		if err != nil {
			return nil, err
		}
		writers = append(writers, w)
	}
	return writers, nil
}

// epoch writes the records from first on, and prepares them.
func (r *run[T]) epoch(writers []*writer[T], first int) (prepared []pending, err error) {
	for i := range perEpoch {
		if err := r.dies(); err != nil {
			return nil, err
		}
		if err := writers[(first+i)%len(writers)].write(first + i); err != nil {
			return nil, err
		}
	}
	for i, w := range writers {
		if err := r.dies(); err != nil {
			return nil, err
		}
		c, err := w.prepare()
		if err != nil {
			return nil, err
		}
		prepared = append(prepared, pending{i, c})
	}
	return prepared, nil
}

// commitAll commits what a completed checkpoint names. An attempt that dies in it, or right after, leaves the checkpoint
// naming all of it.
func (r *run[T]) commitAll(writers []*writer[T], held []pending) error {
	for _, p := range held {
		if err := r.dies(); err != nil {
			return err
		}
		if err := writers[p.subtask%len(writers)].commit(p.committable); err != nil {
			return err
		}
	}
	return r.dies()
}
