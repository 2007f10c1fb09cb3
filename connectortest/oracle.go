package connectortest

import (
	"fmt"
	"math/rand/v2"

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
	perEpoch = 6 // records
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
	for range 20 {
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
	for {
		r.attempt, r.steps, r.die = r.attempt+1, 0, -1
		if r.attempt <= len(places) {
			r.die = places[r.attempt-1]
		}
		over, err := r.live()
		if err != nil {
			return r.steps, fmt.Errorf("attempt %d, step %d: %w", r.attempt, r.steps, err)
		}
		if over {
			break
		}
	}
	var all []int
	for i := range epochs * perEpoch {
		all = append(all, i)
	}
	return r.steps, r.sees("in the end", all...)
}

// dies reports whether the attempt has died here, before its next step.
func (r *run[T]) dies() bool {
	r.steps++
	return r.die >= 0 && r.steps > r.die
}

// live is an attempt. Its writers are left as they are when it dies. A job that has ended is over.
func (r *run[T]) live() (over bool, err error) {
	parallelism := 1 + r.attempt%2
	writers := make([]*writer[T], parallelism)
	held := append([]pending(nil), r.completed.pending...)
	var named []connector.Committable
	for _, p := range held {
		named = append(named, p.committable)
	}
	for i := range writers {
		if r.dies() {
			return false, nil
		}
		if writers[i], err = r.begin(place{subtask: i, parallelism: parallelism, attempt: r.attempt}, named...); err != nil {
			return false, err
		}
	}
	if held, err = r.commitAll(writers, held); err != nil || held == nil {
		return false, err
	}
	records := r.completed.records
	for id := r.completed.id + 1; id <= epochs; id++ {
		for range perEpoch {
			if r.dies() {
				return false, nil
			}
			if err := writers[records%parallelism].write(records); err != nil {
				return false, err
			}
			records++
		}
		for i, w := range writers {
			if r.dies() {
				return false, nil
			}
			c, err := w.prepare()
			if err != nil {
				return false, err
			}
			held = append(held, pending{i, c})
		}
		if r.dies() {
			return false, nil
		}
		if id == aborted {
			continue
		}
		r.completed = snapshot{id, records, held}
		if held, err = r.commitAll(writers, append([]pending{}, held...)); err != nil || held == nil {
			return false, err
		}
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			return false, fmt.Errorf("Close: %w", err)
		}
	}
	return true, nil
}

// commitAll commits what a completed checkpoint names, and returns what is left: an empty list, or nil if the attempt died.
func (r *run[T]) commitAll(writers []*writer[T], held []pending) ([]pending, error) {
	for _, p := range held {
		if r.dies() { // before, or after the one before and before anybody knew
			return nil, nil
		}
		if err := writers[p.subtask%len(writers)].commit(p.committable); err != nil {
			return nil, err
		}
	}
	if r.dies() {
		return nil, nil
	}
	return []pending{}, nil
}
