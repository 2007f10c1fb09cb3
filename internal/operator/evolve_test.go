package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// snapped is a state that subtask 0 wrote.
func snapped[T any](t *testing.T, name string, kind job.StateKind, values ...T) []Restored {
	t.Helper()
	snapshot, err := state.Small(name, kind, mustCodec[T](t), values)
	if err != nil {
		t.Fatal(err)
	}
	return []Restored{{Handle: snapshot.Handle, Data: snapshot.Data}}
}

func restoring(t *testing.T, operator string, states []Restored) *Wiring {
	w := NewWiring(t.Context(), ContextConfig{})
	w.Restore(1, map[string][]Restored{operator: states}, nil, nil)
	return w
}

// keeping is an Aggregate that emits what it continues from.
func keeping[K comparable, A any](t *testing.T, states []Restored) (string, error) {
	t.Helper()
	var out journal[string]
	step, err := Aggregate(restoring(t, "counts", states), "counts", Keyed[K, int, A, string]{
		Groups: 256,
		Result: func(k K, acc A) string { return fmt.Sprintf("%v%+v", k, acc) },
	}, &out)
	if err != nil {
		return "", err
	}
	err = step.End()
	return strings.TrimSuffix(out.String(), " end"), err
}

// TestKeyedStateEvolves: accumulators are read as what they have become, or refused.
func TestKeyedStateEvolves(t *testing.T) {
	type before struct {
		Clicks int32
		Gone   []string
		Last   string
	}
	type after struct {
		Last   string
		Clicks int64
		Since  string
	}
	states := snapped(t, accumulators, job.ValueState, state.Entry[int32, before]{Key: 7, Value: before{3, []string{"x"}, "a"}})
	if got, err := keeping[int32, after](t, states); err != nil || got != "7{Last:a Clicks:3 Since:}" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := keeping[int32, struct{ Clicks int16 }](t, states); err == nil ||
		!strings.Contains(err.Error(), `state "accumulators", written by subtask 0: field Clicks was written as int32 and is to be read as int16`) {
		t.Errorf("got %v", err)
	}
	if _, err := keeping[int64, before](t, states); err == nil || !strings.Contains(err.Error(), "a key's type cannot change") {
		t.Errorf("got %v", err)
	}
	states[0].Handle.Schema = "" // of an earlier version
	if got, err := keeping[int32, before](t, states); err != nil || got != "7{Clicks:3 Gone:[x] Last:a}" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestSplitsEvolve: as do the splits of a source, where they are read and where they are listed.
func TestSplitsEvolve(t *testing.T) {
	type before struct{ To, From int16 }
	var out journal[int]
	w := restoring(t, "in", snapped(t, sourceState, job.PositionState, left[before]{before{5, 2}, 1}))
	open := func(p piece) (Reader[int], error) { return &plainReader{p}, nil }
	d := NewReading(w, Reading[piece, int]{Name: "in", Bounded: true, Open: open}, nil, &out)
	if err := runToEnd(t.Context(), d); err != nil || out.String() != "3 4 end" {
		t.Errorf("got %v, %v", &out, err)
	}
	w = restoring(t, "in", snapped(t, sourceState, job.PositionState, left[string]{"file", 1}))
	d = NewReading(w, Reading[piece, int]{Name: "in", Bounded: true, Open: open}, nil, &out)
	if err := runToEnd(t.Context(), d); err == nil || !strings.Contains(err.Error(), "field Split was written as string") {
		t.Errorf("got %v", err)
	}

	var listing journal[int]
	list := func(_ context.Context, emit func(int) error) error {
		for n := range 4 {
			if err := emit(n); err != nil {
				return err
			}
		}
		return nil
	}
	w = restoring(t, "list", snapped(t, sourceState, job.PositionState, progress[int8]{Splits: 2, Last: 1}))
	if err := runToEnd(t.Context(), NewSplits(w, "list", list, &listing)); err != nil || listing.String() != "2 3 end" {
		t.Errorf("got %v, %v", &listing, err)
	}
	w = restoring(t, "list", snapped(t, sourceState, job.PositionState, progress[bool]{Splits: 2}))
	if err := runToEnd(t.Context(), NewSplits(w, "list", list, &listing)); err == nil || !strings.Contains(err.Error(), "field Last was written as bool") {
		t.Errorf("got %v", err)
	}
}
