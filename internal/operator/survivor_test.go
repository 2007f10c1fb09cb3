package operator

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/record"
)

// survivorFor returns a Survivor whose dead letters go to dead; nil: they are skipped.
func survivorFor(ctx context.Context, dead Receiver[DeadLetter[int]]) (*Wiring, *Survivor[int]) {
	w := NewWiring(ctx, ContextConfig{Subtask: 5, Logger: slog.New(slog.DiscardHandler)})
	w.dead = map[door]any{{"step", 0}: nil}
	if dead != nil {
		w.dead[door{"step", 0}] = dead
	}
	return w, SurvivorOf[int](w, "step", 0)
}

var errOdd = errors.New("odd")

// twice emits a record two times, and fails for odd ones in between.
func twice(n int, emit func(int)) error {
	emit(n)
	if n%2 == 1 {
		return errOdd
	}
	emit(n)
	return nil
}

// TestSurvivingStep: barriers and the end go to what follows and to the dead letters, after all that
// came before them; of a record that failed nothing is handed on.
func TestSurvivingStep(t *testing.T) {
	var out journal[int]
	var dead journal[DeadLetter[int]]
	w, s := survivorFor(t.Context(), &dead)
	step := Guard(w, "step", TryApply(s, twice, &out))
	batch(t, step, []int{2, 3, 4})
	if err := step.Event(record.Event{Kind: record.Barrier, Value: 1}); err != nil {
		t.Fatal(err)
	}
	batch(t, step, []int{5})
	batch(t, step, []int{6})
	if err := step.End(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "2 2 4 4 b1 6 6 end"; got != want {
		t.Errorf("out: got %q, want %q", got, want)
	}
	if got, want := dead.String(), "{3 odd step 5} b1 {5 odd step 5} end"; got != want {
		t.Errorf("dead letters: got %q, want %q", got, want)
	}
	if n := w.Operators()["step"]; n.In != 5 || n.Skipped != 2 {
		t.Errorf("counted %+v", n)
	}
}

// TestSurvivingStepOfLongOutput: what one record emits goes on in batches of the usual size, and a
// long one does not keep the memory that it took.
func TestSurvivingStepOfLongOutput(t *testing.T) {
	size := record.BatchSize[int]()
	var out sizes
	_, s := survivorFor(t.Context(), nil)
	step := TryFlatMap(s, func(n int, emit func(int)) {
		for i := range n {
			emit(i)
		}
		if n%2 == 1 {
			panic("odd")
		}
	}, &out)
	batch(t, step, []int{20*size + 2, 20*size + 1, 2})
	if out.records != 20*size+4 || out.largest != size {
		t.Errorf("%d records came, at most %d at once; want %d and %d", out.records, out.largest, 20*size+4, size)
	}
	if c := cap(step.(*surviving[int, int]).buf); c > 8*size {
		t.Errorf("it keeps room for %d", c)
	}
}

type sizes struct{ records, largest int }

func (s *sizes) Batch(records []int) error {
	s.records, s.largest = s.records+len(records), max(s.largest, len(records))
	return nil
}
func (*sizes) Event(record.Event) error { return nil }
func (*sizes) End() error               { return nil }

// TestSurvivingCostsNoAllocation: a batch without failures allocates nothing.
func TestSurvivingCostsNoAllocation(t *testing.T) {
	records := numbers(0, 100)
	steps := map[string]func(*Survivor[int], Receiver[int]) Receiver[int]{
		"map": func(s *Survivor[int], out Receiver[int]) Receiver[int] {
			return TryMap(s, func(n int) int { return n }, out)
		},
		"modify": func(s *Survivor[int], out Receiver[int]) Receiver[int] {
			return TryModify(s, func(n *int) { *n++ }, out)
		},
		"filter": func(s *Survivor[int], out Receiver[int]) Receiver[int] {
			return TryFilter(s, func(n int) bool { return n > 5 }, out)
		},
		"retain": func(s *Survivor[int], out Receiver[int]) Receiver[int] {
			return TryRetain(s, func(n *int) bool { return *n > 5 }, out)
		},
		"flatmap": func(s *Survivor[int], out Receiver[int]) Receiver[int] {
			return TryFlatMap(s, func(n int, emit func(int)) { emit(n); emit(n) }, out)
		},
		"each": func(s *Survivor[int], _ Receiver[int]) Receiver[int] {
			return TryEach(s, func(int) error { return nil })
		},
	}
	for name, make := range steps {
		_, s := survivorFor(t.Context(), nil)
		step := make(s, &sizes{})
		if n := testing.AllocsPerRun(10, func() { _ = step.Batch(records) }); n > 0 {
			t.Errorf("%s: %v allocations for %d records", name, n, len(records))
		}
	}
}

// TestTextOfFailure: it is short, and valid.
func TestTextOfFailure(t *testing.T) {
	for _, long := range []string{strings.Repeat("ä", maxLetter), "x" + strings.Repeat("ä", maxLetter), strings.Repeat("\xff.", maxLetter)} {
		if got := textOf(errors.New(long)); len(got) > maxLetter || strings.ToValidUTF8(got, "?") != got {
			t.Errorf("%d bytes: %q", len(got), got[len(got)-10:])
		}
	}
	if got := textOf(&PanicError{Value: errOdd, Stack: "where it was"}); got != "panic: odd" {
		t.Errorf("got %q", got)
	}
	if got := textOf(&silent{}); !strings.Contains(got, "PANIC") {
		t.Errorf("of an error that panics: %q", got)
	}
}

// silent is an error of which nothing can be learnt.
type silent struct{ text *string }

func (s *silent) Error() string { return *s.text }
