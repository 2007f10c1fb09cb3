package operator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
	"github.com/perennial-io/perennial/internal/state/statetest"
	"github.com/perennial-io/perennial/state/disk"
)

// stored wires a count by key whose accumulators are kept in opener.
func stored(t *testing.T, opener state.Opener, restored []Restored, subtask, parallelism int, each bool) (Receiver[int], *Wiring, *collector[string]) {
	t.Helper()
	w := NewWiring(t.Context(), ContextConfig{Subtask: subtask, Parallelism: parallelism})
	w.KeepIn(opener, t.TempDir())
	w.Restore(1, map[string][]Restored{"count": restored}, nil, nil)
	var out collector[string]
	step, err := Aggregate(w, "count", Keyed[int, int, int, string]{
		Key: func(n int) int { return n % 100 }, Groups: 256, Each: each,
		Add:    func(n *int, _ int) { *n++ },
		Result: func(key, n int) string { return fmt.Sprint(key, ":", n) },
	}, Receiver[string](&out))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return step, w, &out
}

// snapshotOf returns what a barrier takes along.
func snapshotOf(t *testing.T, w *Wiring, subtask int) []Restored {
	t.Helper()
	var p Prepared
	w.OnCheckpoint(func(prepared Prepared) { p = prepared })
	if err := w.Checkpoint(2, func(record.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return new(statetest.Uploads).Write(t, given(p.Snapshots), subtask, 2, 0)
}

type given []Snapshot

func (g given) Snapshot() ([]Snapshot, error) { return g, nil }

// TestEmittedAccumulatorsStay: what an accumulator refers to goes on changing, and what was emitted of it does not.
func TestEmittedAccumulatorsStay(t *testing.T) {
	for name, opener := range map[string]state.Opener{"in memory": nil, "on disk": disk.Store()} {
		w := NewWiring(t.Context(), ContextConfig{})
		w.KeepIn(opener, t.TempDir())
		var out collector[[]int]
		step, err := Aggregate(w, "last", Keyed[int, int, []int, []int]{
			Key: func(int) int { return 0 }, Groups: 256, Each: true,
			First:  func(acc *[]int, n int) { *acc = []int{n} },
			Add:    func(acc *[]int, n int) { (*acc)[0] = n },
			Result: func(_ int, acc []int) []int { return acc },
		}, Receiver[[]int](&out))
		if err != nil {
			t.Fatal(err)
		}
		batch(t, step, []int{1, 2, 3})
		if got := fmt.Sprint(out.records); got != "[[1] [2] [3]]" {
			t.Errorf("%s: got %s", name, got)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStoredAggregate says what one in memory says, and goes on from it and from itself, at any parallelism.
func TestStoredAggregate(t *testing.T) {
	batches := func(step Receiver[int], parallelism, subtask int) {
		keys, err := state.KeysOf[int](256, subtask, parallelism)
		if err != nil {
			t.Fatal(err)
		}
		var mine []int
		for n := range 1_000 {
			if keys.Own(n % 100) {
				mine = append(mine, n)
			}
		}
		for _, b := range [][]int{mine[:len(mine)/2], mine[len(mine)/2:]} {
			batch(t, step, b)
		}
	}
	step, w, _ := stored(t, nil, nil, 0, 1, false) // in memory
	batches(step, 1, 0)
	pieces := snapshotOf(t, w, 0)
	rounds := 1
	for _, parallelism := range []int{1, 2, 2, 3} {
		rounds++
		var next []Restored
		var results, want []string
		for i := range parallelism {
			opener := disk.Store()
			step, w, out := stored(t, opener, pieces, i, parallelism, false)
			batches(step, parallelism, i)
			next = append(next, snapshotOf(t, w, i)...)
			if err := step.End(); err != nil {
				t.Fatal(err)
			}
			results = append(results, out.records...)
			after, err := step.(Stateful).Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if len(after) != 1 || after[0].Handle.State != accumulators || after[0].Handle.Kind != job.ValueState {
				t.Errorf("after its end it remembers %+v", after)
			}
		}
		for key := range 100 {
			want = append(want, fmt.Sprint(key, ":", 10*rounds))
		}
		slices.Sort(results)
		if slices.Sort(want); !slices.Equal(results, want) {
			t.Fatalf("round %d: %q", rounds, results)
		}
		pieces = next
	}
}

func TestStoredUpdates(t *testing.T) {
	step, _, out := stored(t, disk.Store(), nil, 0, 1, true)
	batch(t, step, []int{1, 1, 2, 1})
	batch(t, step, []int{1})
	if want := []string{"1:1", "1:2", "2:1", "1:3", "1:4"}; !slices.Equal(out.records, want) {
		t.Errorf("got %q, want %q", out.records, want)
	}
}
