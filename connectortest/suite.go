package connectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// Fixture is a sink into a system that is the test's alone, and empty.
type Fixture[T comparable] struct {
	Sink connector.TransactionalSink[T]
	// Record makes the record of a number: another one for each.
	Record func(i int) T
	// Visible returns all that a reader of the system sees now, in any order: what is committed.
	Visible func() ([]T, error)
	// Forgets says that the system does not tell a transaction that was rolled back from one that was committed
	// long ago, so that a Commit of either returns nil. The sink's documentation then says what can be lost by it.
	Forgets bool
}

// Transactional checks that a sink keeps the contract of connector.TransactionalSink. fixture is called once for
// each check, or more often.
func Transactional[T comparable](t *testing.T, fixture func(t *testing.T) Fixture[T]) {
	for _, c := range checks[T]() {
		t.Run(c.name, func(t *testing.T) {
			b := &bench[T]{Fixture: fixture(t)}
			defer b.close()
			if err := c.run(b); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("SameOutputWhereverItDies", func(t *testing.T) {
		err := dieEverywhere(func() Fixture[T] { return fixture(t) })
		if err != nil {
			t.Error(err)
		}
	})
}

// check is one property. It returns what is wrong.
type check[T comparable] struct {
	name string
	run  func(*bench[T]) error
}

func checks[T comparable]() []check[T] {
	return []check[T]{
		{"InvisibleUntilCommitted", (*bench[T]).invisibleUntilCommitted},
		{"NothingWritten", (*bench[T]).nothingWritten},
		{"CommittedAgain", (*bench[T]).committedAgain},
		{"CommittedByTwoAtOnce", (*bench[T]).committedByTwoAtOnce},
		{"CommittedByTheNextAttempt", (*bench[T]).committedByTheNextAttempt},
		{"RecoverRollsBack", (*bench[T]).recoverRollsBack},
		{"RecoverLeavesOthers", (*bench[T]).recoverLeavesOthers},
		{"RecoverAfterRescaling", (*bench[T]).recoverAfterRescaling},
		{"RecoverStopsAZombie", (*bench[T]).recoverStopsAZombie},
		{"AbortKeepsWhatIsPrepared", (*bench[T]).abortKeepsWhatIsPrepared},
		{"CloseKeepsWhatIsPrepared", (*bench[T]).closeKeepsWhatIsPrepared},
		{"LostIsSaid", (*bench[T]).lostIsSaid},
		{"KeepsNoSlice", (*bench[T]).keepsNoSlice},
		{"CommitBesideWrite", (*bench[T]).commitBesideWrite},
		{"StrangeCommittable", (*bench[T]).strangeCommittable},
	}
}

// bench is where a check works: a fixture, and the writers that were begun on it.
type bench[T comparable] struct {
	Fixture[T]
	open []connector.TransactionalWriter[T]
}

// place is where a writer runs.
type place struct {
	job                  job.ID // "": the usual one
	operator             string // "": the usual one
	subtask, parallelism int
	attempt              int // 0: the first
}

// begin returns a writer that has recovered, and is closed when the check is over, if not before.
func (b *bench[T]) begin(p place, named ...connector.Committable) (*writer[T], error) {
	cfg := operator.ContextConfig{
		Job: "0123456789abcdef0123456789abcdef", Operator: "to ledger/ä", Subtask: p.subtask, Parallelism: p.parallelism, Attempt: job.Attempt(p.attempt),
	}
	if p.job != "" {
		cfg.Job = p.job
	}
	if p.operator != "" {
		cfg.Operator = p.operator
	}
	tw, err := b.Sink.Begin(operator.NewContext(context.Background(), cfg))
	if err != nil {
		return nil, fmt.Errorf("Begin: %w", err)
	}
	b.open = append(b.open, tw)
	if err := tw.Recover(named); err != nil {
		return nil, fmt.Errorf("Recover: %w", err)
	}
	return &writer[T]{tw, b}, nil
}

func (b *bench[T]) close() {
	for _, w := range b.open {
		w.Close() // some for the second time, or after the system has cut them off
	}
	b.open = nil
}

// sees fails unless the records of these numbers are visible, once each, and no others.
func (b *bench[T]) sees(when string, numbers ...int) error {
	visible, err := b.Visible()
	if err != nil {
		return fmt.Errorf("%s: read what is visible: %w", when, err)
	}
	count := map[T]int{}
	for _, r := range visible {
		count[r]++
	}
	want := map[T]int{}
	for _, n := range numbers {
		want[b.Record(n)] = 1
	}
	if !maps.Equal(count, want) {
		return fmt.Errorf("%s %d records are visible, want %d, once each:\n got %v\nwant %v", when, len(visible), len(want), visible, slices.Collect(maps.Keys(want)))
	}
	return nil
}

// writer is a TransactionalWriter whose steps are named in their errors.
type writer[T comparable] struct {
	connector.TransactionalWriter[T]
	b *bench[T]
}

func (w *writer[T]) write(numbers ...int) error {
	for _, n := range numbers {
		if err := w.Write([]T{w.b.Record(n)}); err != nil {
			return fmt.Errorf("Write: %w", err)
		}
	}
	return nil
}

// prepare writes and prepares, and returns the committable as it comes out of a checkpoint: a copy.
func (w *writer[T]) prepare(numbers ...int) (connector.Committable, error) {
	if err := w.write(numbers...); err != nil {
		return nil, err
	}
	c, err := w.Prepare()
	if err != nil {
		return nil, fmt.Errorf("Prepare: %w", err)
	}
	if len(c) == 0 && len(numbers) > 0 {
		return nil, errors.New("Prepare: an empty Committable, after records were written")
	}
	return slices.Clone(c), nil
}

func (w *writer[T]) commit(committables ...connector.Committable) error {
	for _, c := range committables {
		if len(c) == 0 {
			continue // the runtime does not ask for it
		}
		if err := w.Commit(context.Background(), c); err != nil {
			return fmt.Errorf("Commit: %w", err)
		}
	}
	return nil
}
