package operator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// sums adds up the numbers of each key, n%10, and tells of a sum at the event time that is the sum.
func sums(o *KeyedOperator[int, string]) []any {
	sum, err := state.OpenValue[int, int](StoreOf(o), "sum")
	if err != nil {
		Fail(o, err)
	}
	o.OnEventTimer(func(at time.Time) error {
		n, _ := sum.Get()
		o.Emit(fmt.Sprintf("%d:%d@%d", o.Key(), n, at.UnixMilli()))
		return nil
	})
	return []any{Step(o, 0, func(n int) int { return n % 10 }, func(n int) error {
		s, _ := sum.Get()
		o.DeleteEventTimer(time.UnixMilli(int64(s)))
		sum.Set(s + n)
		o.SetEventTimer(time.UnixMilli(int64(s + n)))
		return nil
	})}
}

// keyed wires an operator that goes on from what was restored.
func keyed(t *testing.T, restored []Restored, subtask, parallelism int, open func(*KeyedOperator[int, string]) []any) ([]any, *journal[string], *Wiring) {
	t.Helper()
	w := NewWiring(t.Context(), ContextConfig{Subtask: subtask, Parallelism: parallelism})
	w.Restore(1, map[string][]Restored{"op": restored}, nil, nil)
	var out journal[string]
	steps, err := NewKeyed(w, "op", 256, Receiver[string](&out), open)
	if err != nil {
		t.Fatal(err)
	}
	return steps, &out, w
}

func watermark(t *testing.T, step any, at int64) {
	t.Helper()
	if err := step.(Receiver[int]).Event(record.Event{Kind: record.Watermark, Value: at}); err != nil {
		t.Fatal(err)
	}
}

// TestEventTimers: they fire in order of time, as far as the watermark has come, before it goes on; the end
// fires the rest.
func TestEventTimers(t *testing.T) {
	steps, out, _ := keyed(t, nil, 0, 1, sums)
	step := steps[0].(Receiver[int])
	batch(t, step, []int{11, 2, 1, 3})
	watermark(t, step, 2)
	watermark(t, step, 11)
	batch(t, step, []int{9})
	if err := step.End(); err != nil {
		t.Fatal(err)
	}
	if want := "2:2@2 w2 3:3@3 w11 9:9@9 1:12@12 end"; out.String() != want {
		t.Errorf("got  %v\nwant %s", out, want)
	}
}

// TestManyTimers: where many fire at once, the subtask is asked in between whether they may go on.
func TestManyTimers(t *testing.T) {
	steps, out, w := keyed(t, nil, 0, 1, func(o *KeyedOperator[int, string]) []any {
		o.OnEventTimer(func(time.Time) error { o.Emit("fired"); return nil })
		return []any{Step(o, 0, func(n int) int { return n }, func(n int) error { o.SetEventTimer(time.UnixMilli(int64(n))); return nil })}
	})
	batch(t, steps[0].(Receiver[int]), numbers(1, 3000))
	asked, enough := 0, errors.New("enough")
	w.Between(func() error {
		if asked++; asked == 2 {
			return enough
		}
		return nil
	})
	err := steps[0].(Receiver[int]).Event(record.Event{Kind: record.Watermark, Value: 3000})
	if fired := strings.Count(out.String(), "fired"); !errors.Is(err, enough) || asked != 2 || fired > 2*timersAtOnce {
		t.Errorf("it was asked %d times, %d timers fired, and it ended with %v", asked, fired, err)
	}
}

// TestKeyedOperatorGoesOn: what 1, 2, 3 subtasks wrote, so many others continue, timers included.
func TestKeyedOperatorGoesOn(t *testing.T) {
	var restored []Restored
	for _, parallelism := range []int{1, 3, 2, 1} {
		var next []Restored
		for i := range parallelism {
			steps, out, w := keyed(t, restored, i, parallelism, sums)
			if len(restored) == 0 {
				batch(t, steps[0].(Receiver[int]), numbers(1, 200))
			}
			if out.String() != "" {
				t.Fatalf("it emits %v", out)
			}
			w.OnCheckpoint(func(p Prepared) {
				for _, s := range p.Snapshots {
					next = append(next, Restored{Handle: s.Handle, Subtask: i, Data: written(t, s)})
				}
			})
			if err := w.Checkpoint(2, func(record.Event) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		restored = next
	}
	steps, out, _ := keyed(t, restored, 0, 1, sums)
	if err := steps[0].(Receiver[int]).End(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for key := range 10 {
		sum := 0
		for n := 1; n < 200; n++ {
			if n%10 == key {
				sum += n
			}
		}
		want = append(want, fmt.Sprintf("%d:%d@%d", key, sum, sum))
	}
	got := slices.Sorted(slices.Values(out.lines[:len(out.lines)-1]))
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func written(t *testing.T, s Snapshot) []byte {
	t.Helper()
	if s.Write == nil {
		return s.Data
	}
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// TestTimers: the subtask learns when the next timer is due by the clock, and those that were set fire then.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps, out, w := keyed(t, nil, 0, 1, func(o *KeyedOperator[int, string]) []any {
			o.OnTimer(func(at time.Time) error {
				o.Emit(fmt.Sprint(o.Key(), " after ", time.Since(at)))
				return nil
			})
			return []any{Step(o, 0, func(n int) int { return n }, func(n int) error {
				o.SetTimer(time.Now().Add(time.Duration(n) * time.Second))
				o.SetTimer(time.Now().Add(time.Duration(n) * time.Second))
				o.SetTimer(time.Now().Add(time.Hour))
				o.DeleteTimer(time.Now().Add(time.Hour))
				return nil
			})}
		})
		batch(t, steps[0].(Receiver[int]), []int{3, 1, 2})
		for range 3 {
			due, held := w.Flushers()[0].Deadline()
			if !held {
				t.Fatal("no timer is due")
			}
			time.Sleep(time.Until(due)) // of the bubble: nobody waits
			if err := w.Flushers()[0].Flush(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Hour)
		if err := w.Flushers()[0].Flush(); err != nil {
			t.Fatal(err)
		}
		if _, held := w.Flushers()[0].Deadline(); held {
			t.Error("a timer is due that was deleted or has fired")
		}
		if want := "1 after 0s 2 after 0s 3 after 0s"; out.String() != want {
			t.Errorf("got  %v\nwant %s", out, want)
		}
	})
}

// TestBroadcast: every subtask goes on with the same state, which keyed records do not change.
func TestBroadcast(t *testing.T) {
	open := func(o *KeyedOperator[int, string]) []any {
		rules := OpenBroadcastState[string, int](o, "rules")
		return []any{
			Step(o, 0, func(n int) int { return n }, func(n int) error {
				if n < 0 {
					rules.Set("never", n)
				}
				v, _ := rules.Get("add")
				o.Emit(fmt.Sprint(n + v))
				return nil
			}),
			BroadcastStep(o, 1, func(n int) error { rules.Set("add", n); return nil }),
		}
	}
	steps, out, w := keyed(t, nil, 0, 1, open)
	batch(t, steps[0].(Receiver[int]), []int{1})
	batch(t, steps[1].(Receiver[int]), []int{7})
	batch(t, steps[0].(Receiver[int]), []int{1})
	if out.String() != "1 8" {
		t.Errorf("got %v", out)
	}
	var restored []Restored
	w.OnCheckpoint(func(p Prepared) {
		for _, s := range p.Snapshots {
			restored = append(restored, Restored{Handle: s.Handle, Data: written(t, s)})
		}
	})
	if err := w.Checkpoint(2, func(record.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		steps, out, _ := keyed(t, restored, i, 3, open)
		batch(t, steps[0].(Receiver[int]), []int{1})
		if out.String() != "8" {
			t.Errorf("subtask %d: got %v", i, out)
		}
	}
	var failure state.Failure
	Guarded(func() error { return steps[0].(Receiver[int]).Batch([]int{-1}) }, func(err error) {
		if !errors.As(err, &failure) || !strings.Contains(failure.Error(), `"rules"`) {
			t.Errorf("got %v, want a Failure that names the state", err)
		}
	})
}

// TestBadOperators are found when the job is planned.
func TestBadOperators(t *testing.T) {
	tests := map[string]func(o *KeyedOperator[int, string]) []any{
		"there twice": func(o *KeyedOperator[int, string]) []any {
			OpenBroadcastState[string, int](o, "a")
			OpenBroadcastState[string, bool](o, "a")
			return []any{Step(o, 0, func(n int) int { return n }, func(int) error { return nil })}
		},
		"returned nil": func(o *KeyedOperator[int, string]) []any {
			return []any{Step[int, int](o, 0, func(n int) int { return n }, nil)}
		},
		"OnTimer(nil)": func(o *KeyedOperator[int, string]) []any { o.OnTimer(nil); return nil },
		"OnEventTimer was given a function twice": func(o *KeyedOperator[int, string]) []any {
			o.OnEventTimer(func(time.Time) error { return nil })
			o.OnEventTimer(func(time.Time) error { return nil })
			return nil
		},
		"as a value and as a broadcast": func(o *KeyedOperator[int, string]) []any {
			OpenBroadcastState[string, int](o, "a")
			if _, err := state.OpenValue[int, int](StoreOf(o), "a"); err != nil {
				Fail(o, err)
			}
			return nil
		},
		"twice": func(o *KeyedOperator[int, string]) []any {
			o.OnTimer(func(time.Time) error { return nil })
			if _, err := state.OpenValue[int, int](StoreOf(o), "timers"); err != nil {
				Fail(o, err)
			}
			return []any{Step(o, 0, func(n int) int { return n }, func(int) error { return nil })}
		},
	}
	for want, open := range tests {
		if _, err := DescribeKeyed(open); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one that says %q", err, want)
		}
	}
	if types, err := DescribeKeyed(sums); err != nil || len(types) != 3 {
		t.Errorf("got %v, %v", types, err)
	}
}

// snapshotsOf are what the subtask contributes to a checkpoint, as it is restored.
func snapshotsOf(t *testing.T, w *Wiring) (restored []Restored) {
	t.Helper()
	p, _, err := w.Final(w.Taken() + 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Snapshots {
		restored = append(restored, Restored{Handle: s.Handle, Data: written(t, s)})
	}
	return restored
}

// TestEventTimeGoesOn: what was late before a checkpoint is late after it, and what has fired does not fire again.
func TestEventTimeGoesOn(t *testing.T) {
	steps, _, w := keyed(t, nil, 0, 1, sums)
	batch(t, steps[0].(Receiver[int]), []int{1})
	watermark(t, steps[0], 5)
	steps, out, w := keyed(t, snapshotsOf(t, w), 0, 1, func(o *KeyedOperator[int, string]) []any {
		return []any{Step(o, 0, func(n int) int { return n }, func(n int) error {
			o.Emit(fmt.Sprint(o.Watermark().UnixMilli()))
			return nil
		})}
	})
	batch(t, steps[0].(Receiver[int]), []int{1})
	watermark(t, steps[0], 3)
	watermark(t, steps[0], 6)
	if want := "5 w6"; out.String() != want || w == nil {
		t.Errorf("got %v, want %s", out, want)
	}
}

// TestEndDropsTimers: a later attempt that begins with the end of this one fires none either.
func TestEndDropsTimers(t *testing.T) {
	open := func(o *KeyedOperator[int, string]) []any {
		o.OnTimer(func(time.Time) error { o.Emit("fired"); return nil })
		return []any{Step(o, 0, func(n int) int { return n }, func(int) error { o.SetTimer(time.Now().Add(time.Second)); return nil })}
	}
	steps, _, w := keyed(t, nil, 0, 1, open)
	batch(t, steps[0].(Receiver[int]), []int{1})
	if err := steps[0].(Receiver[int]).End(); err != nil {
		t.Fatal(err)
	}
	_, _, w = keyed(t, snapshotsOf(t, w), 0, 1, open)
	if due, held := w.Flushers()[0].Deadline(); held {
		t.Errorf("a timer is due at %v", due)
	}
}

// TestSilentTimers: after the barrier of a stop nothing is emitted, until it is taken back.
func TestSilentTimers(t *testing.T) {
	steps, _, w := keyed(t, nil, 0, 1, func(o *KeyedOperator[int, string]) []any {
		o.OnTimer(func(time.Time) error { return nil })
		return []any{Step(o, 0, func(n int) int { return n }, func(int) error { o.SetTimer(time.Now()); return nil })}
	})
	batch(t, steps[0].(Receiver[int]), []int{1})
	w.Silence(2, true)
	if _, held := w.Flushers()[0].Deadline(); !held {
		t.Error("it is silent before the barrier")
	}
	if err := w.Checkpoint(2, func(record.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, held := w.Flushers()[0].Deadline(); held {
		t.Error("a timer is due in the silence")
	}
	w.Resume(2)
	if _, held := w.Flushers()[0].Deadline(); !held {
		t.Error("it stays silent")
	}
}

// TestEmittedRecordsStay: what was emitted does not change when the state that it refers to does.
func TestEmittedRecordsStay(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	var out collector[[]int]
	steps, err := NewKeyed(w, "op", 256, Receiver[[]int](&out), func(o *KeyedOperator[int, []int]) []any {
		last, err := state.OpenValue[int, []int](StoreOf(o), "last")
		if err != nil {
			Fail(o, err)
		}
		return []any{Step(o, 0, func(int) int { return 0 }, func(n int) error {
			l, ok := last.Get()
			if !ok {
				l = []int{0}
			}
			l[0] = n
			last.Set(l)
			o.Emit(l)
			return nil
		})}
	})
	if err != nil {
		t.Fatal(err)
	}
	batch(t, steps[0].(Receiver[int]), []int{1, 2, 3})
	if got := fmt.Sprint(out.records); got != "[[1] [2] [3]]" {
		t.Errorf("got %s", got)
	}
}

// TestTimerWithoutFunction fails, and says what is missing.
func TestTimerWithoutFunction(t *testing.T) {
	steps, _, _ := keyed(t, nil, 0, 1, func(o *KeyedOperator[int, string]) []any {
		return []any{Step(o, 0, func(n int) int { return n }, func(int) error { o.SetTimer(time.Now()); return nil })}
	})
	Guarded(func() error { return steps[0].(Receiver[int]).Batch([]int{1}) }, func(err error) {
		if err == nil || !strings.Contains(err.Error(), "OnTimer") {
			t.Errorf("got %v", err)
		}
	})
}

// TestWatermarks: the latest time less the lateness, at most every so often.
func TestWatermarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWiring(t.Context(), ContextConfig{})
		var out journal[int]
		step := Watermarks(w, "times", Times[int]{At: func(n *int) int64 { return int64(*n) }, Lateness: 10}, Receiver[int](&out))
		flush := w.Flushers()[0]
		batch(t, step, []int{100, 50})
		batch(t, step, []int{120})
		due, held := flush.Deadline()
		if !held || time.Until(due) != watermarkInterval {
			t.Errorf("due in %v, %v", time.Until(due), held)
		}
		if err := flush.Flush(); err != nil {
			t.Fatal(err)
		}
		batch(t, step, []int{119})
		if _, held := flush.Deadline(); held {
			t.Error("a watermark is due that is no higher")
		}
		watermark(t, step, 1000) // of whoever was before
		if err := step.End(); err != nil {
			t.Fatal(err)
		}
		if want := "100 50 120 w110 119 end"; out.String() != want {
			t.Errorf("got  %v\nwant %s", &out, want)
		}
	})
}
