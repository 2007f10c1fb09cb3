package operator

import (
	"context"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// TestDiscoveryGoesOn: one that begins anew is given the state that came with what was handed on last, and the barrier
// comes behind all of what was emitted together.
func TestDiscoveryGoesOn(t *testing.T) {
	ended := make(chan string, 1)
	emits := func(splits []int, state string, wait bool) Discover[int] {
		return func(ctx context.Context, from []byte, emit func([]int, []byte) error) error {
			defer func() { ended <- string(from) }()
			if err := emit(splits, []byte(state)); err != nil {
				return err
			}
			if wait {
				<-ctx.Done() // it looks for more, for ever
			}
			return nil
		}
	}
	var state []Restored
	for i, attempt := range []struct {
		splits            []int
		state, from, came string
	}{
		{[]int{1, 2, 3}, "three", "", "1 2 3 b1"},
		{[]int{4}, "four", "three", "4 b2"},
		{nil, "none", "four", "b3"}, // its readers had taken nothing new, but it has looked
		{[]int{5}, "five", "none", "5 b4"},
	} {
		id := job.CheckpointID(i + 1)
		w := NewWiring(t.Context(), ContextConfig{})
		if i > 0 {
			w.Restore(id-1, map[string][]Restored{"splits": state}, nil, nil)
		}
		var data []byte
		w.OnCheckpoint(func(p Prepared) { data = p.Snapshots[0].Data })
		var out journal[int]
		d := NewDiscovery(w, "splits", emits(attempt.splits, attempt.state, true), &out).(*lister[found[int]])
		for string(d.listed.(*discovery[int]).done.State) != attempt.state {
			if stepAll(t, d) == Waiting && string(d.listed.(*discovery[int]).done.State) != attempt.state {
				d.Wait(t.Context(), nil)
			}
		}
		w.Announce(id)
		stepAll(t, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if from := <-ended; from != attempt.from || out.String() != attempt.came {
			t.Errorf("attempt %d began from %q and handed on %v, want %q and %s", i+1, from, &out, attempt.from, attempt.came)
		}
		state = []Restored{stateOf(sourceState, 0, data)}
	}

	// One that had ended is not begun again.
	w := NewWiring(t.Context(), ContextConfig{})
	if err := runToEnd(t.Context(), NewDiscovery(w, "splits", emits([]int{6}, "six", false), &journal[int]{})); err != nil {
		t.Fatal(err)
	}
	<-ended
	p, _, err := w.Final(1)
	if err != nil {
		t.Fatal(err)
	}
	w = NewWiring(t.Context(), ContextConfig{})
	w.Restore(1, map[string][]Restored{"splits": {stateOf(sourceState, 0, p.Snapshots[0].Data)}}, nil, nil)
	var out journal[int]
	if err := runToEnd(t.Context(), NewDiscovery(w, "splits", emits([]int{7}, "seven", false), &out)); err != nil || out.String() != "end" {
		t.Errorf("one that had ended: %v, %v", &out, err)
	}
}
