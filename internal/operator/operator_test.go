package operator

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is the end of a chain under test.
type collector[T any] struct {
	records []T
	batches int
	ended   bool
	err     error // of every batch, if set
}

func (c *collector[T]) Batch(records []T) error {
	c.records = append(c.records, records...)
	c.batches++
	return c.err
}
func (c *collector[T]) Event(record.Event) error { return nil }
func (c *collector[T]) End() error               { c.ended = true; return nil }

func TestSteps(t *testing.T) {
	half := func(n int) float64 { return float64(n) / 2 }
	chain := func(out Receiver[float64]) Receiver[int] {
		return Map(func(n int) int { return n + 1 },
			Filter(func(n int) bool { return n%2 == 0 },
				Modify(func(n *int) { *n *= 10 },
					FlatMap(func(n int, emit func(int)) { emit(n); emit(-n) },
						Map(half, out)))))
	}
	var out collector[float64]
	in := chain(&out)
	for range 2 { // steps use their buffers again
		if err := in.Batch([]int{1, 2, 3, 4}); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Batch([]int{2}); err != nil { // nothing is left of it: nothing is called
		t.Fatal(err)
	}
	if err := in.End(); err != nil {
		t.Fatal(err)
	}
	want := []float64{10, -10, 20, -20}
	if !slices.Equal(out.records, slices.Concat(want, want)) || out.batches != 2 || !out.ended {
		t.Errorf("got %v in %d batches, ended %t", out.records, out.batches, out.ended)
	}
}

// TestTee: a consumer that changes its records changes nobody else's.
func TestTee(t *testing.T) {
	var a, b, c collector[int]
	negate := func(n *int) { *n = -*n }
	tee := Tee([]Receiver[int]{Modify(negate, &a), &b, Modify(negate, &c)})
	if err := tee.Batch([]int{1, 2}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.records, []int{-1, -2}) || !slices.Equal(b.records, []int{1, 2}) || !slices.Equal(c.records, []int{-1, -2}) {
		t.Errorf("got %v, %v, %v", a.records, b.records, c.records)
	}
}

// TestEmitterStopsAtAnError: what is emitted after the consumer failed goes nowhere, and the
// error comes out of the step.
func TestEmitterStopsAtAnError(t *testing.T) {
	boom := errors.New("boom")
	out := collector[int]{err: boom}
	size := record.BatchSize[int]()
	step := FlatMap(func(n int, emit func(int)) {
		for i := range n {
			emit(i)
		}
	}, &out)
	if err := step.Batch([]int{3 * size}); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if out.batches != 1 {
		t.Errorf("%d batches went out, want 1", out.batches)
	}
}

// TestAggregateKeepsNoBatchMemory: keys that stay are clones.
func TestAggregateKeepsNoBatchMemory(t *testing.T) {
	var out collector[string]
	step, err := Aggregate(NewWiring(t.Context(), ContextConfig{}), "count", Keyed[string, string, int, string]{
		Key: func(s string) string { return s }, Groups: 256,
		Add:    func(n *int, _ string) { *n++ },
		Result: func(k string, n int) string { return k }, // of the key's memory
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	batch := []string{"a", "b", "a"}
	if err := step.Batch(batch); err != nil {
		t.Fatal(err)
	}
	if err := step.End(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.records, []string{"a", "b"}) {
		t.Fatalf("got %q", out.records)
	}
	for i, k := range out.records {
		if unsafe.StringData(k) == unsafe.StringData(batch[i]) {
			t.Errorf("the key %q lies in the batch's memory", k)
		}
	}
}

// script is a Reader that returns what it is told, one entry per call of Next: a negative number
// is nothing for now.
type script struct {
	steps  []int
	ready  chan struct{}
	closed int
}

func (s *script) Next(dst []int) (int, error) {
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	if step < 0 {
		return 0, nil
	}
	dst[0] = step
	return 1, nil
}
func (s *script) Ready() <-chan struct{} { return s.ready }
func (s *script) Close() error           { s.closed++; return nil }

// drive runs a driver to its end, as a subtask does.
func drive(ctx context.Context, t *testing.T, d Driver) {
	t.Helper()
	for ctx.Err() == nil {
		outcome, err := d.Step()
		if err != nil {
			t.Fatal(err)
		}
		switch outcome {
		case Done:
			return
		case Waiting:
			var wake <-chan time.Time
			if at := d.WakeAt(); !at.IsZero() {
				wake = time.After(time.Until(at))
			}
			d.Wait(ctx, wake)
		}
	}
	t.Fatal("the driver did not come to its end")
}

// TestReading: bounded splits are read one after the other, those without an end side by side.
func TestReading(t *testing.T) {
	for _, bounded := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			gate := shuffle.NewGate[int](1, mustCodec[int](t))
			writer := shuffle.NewWriter(shuffle.Rebalance[int](), []shuffle.Output[int]{shuffle.LocalOutput(gate, 0)},
				shuffle.WriterConfig{Context: t.Context(), Immediate: true, Credits: 3})
			ready := make(chan struct{}, 1)
			readers := []*script{
				{steps: []int{1, -1, 2}, ready: ready},
				{steps: []int{3, 4}},
			}
			if err := writer.Batch([]int{0, 1}); err != nil {
				t.Fatal(err)
			}
			var out collector[int]
			d := NewReading(NewWiring(t.Context(), ContextConfig{}), Reading[int, int]{
				Name: "in", Bounded: bounded, Open: func(i int) (Reader[int], error) { return readers[i], nil },
			}, gate, &out)
			go func() {
				time.Sleep(time.Second) // virtual
				ready <- struct{}{}
				if err := writer.End(); err != nil {
					t.Error(err)
				}
			}()
			drive(t.Context(), t, d)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			want := []int{1, 2, 3, 4}
			if !bounded {
				want = []int{3, 1, 4, 2}
			}
			if !slices.Equal(out.records, want) || !out.ended {
				t.Errorf("bounded %t: got %v, want %v; ended %t", bounded, out.records, want, out.ended)
			}
			for i, r := range readers {
				if r.closed != 1 {
					t.Errorf("bounded %t: reader %d was closed %d times", bounded, i, r.closed)
				}
			}
		})
	}
}

func mustCodec[T any](t *testing.T) *record.Codec[T] {
	t.Helper()
	c, err := record.CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPaceAfterAStandstill: at most a second's worth is caught up with.
func TestPaceAfterAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(100, 1000)
		take := func() (n int) {
			for {
				allowed := p.allowance()
				if allowed == 0 {
					return n
				}
				p.spend(allowed)
				n += allowed
			}
		}
		first := take()
		time.Sleep(time.Minute) // virtual
		if n := take(); first > 2 || n < 100 || n > 102 {
			t.Errorf("at 100/s: %d at once and %d after a minute, want 1 and about 100", first, n)
		}
		if at := p.wakeAt(); !at.After(time.Now()) {
			t.Errorf("the next turn is at %v, which is past", at)
		}
	})
}

func TestGuarded(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name string
		f    func() error
		want error
	}{
		{"nil", func() error { return nil }, nil},
		{"error", func() error { return boom }, boom},
		{"panic with an error", func() error { panic(boom) }, boom},
	}
	for _, test := range tests {
		called := 0
		Guarded(test.f, func(err error) {
			called++
			if !errors.Is(err, test.want) {
				t.Errorf("%s: got %v", test.name, err)
			}
		})
		if called != 1 {
			t.Errorf("%s: done was called %d times", test.name, called)
		}
	}
	var text string
	Guarded(func() error { panicsHere(nil); return nil }, func(err error) { text = err.Error() })
	lines := strings.Split(text, "\n")
	if !strings.Contains(text, "nil map") || len(lines) < 4 || !strings.Contains(lines[3], "panicsHere") {
		t.Errorf("the stack does not begin where the panic was:\n%s", text)
	}
}

//go:noinline
func panicsHere(m map[int]int) { m[0] = 1 }

// TestFuncReaderEndsItsFunction: Close ends a function that waits in emit.
func TestFuncReaderEndsItsFunction(t *testing.T) {
	cleaned := false
	r := FuncReader(t.Context(), func(_ context.Context, emit func(int)) error {
		defer func() { cleaned = true }()
		for {
			emit(1)
		}
	})
	<-r.Ready()
	dst := make([]int, 10)
	if n, err := r.Next(dst); n == 0 || err != nil {
		t.Errorf("Next = %d, %v", n, err)
	}
	if err := r.Close(); err != nil || !cleaned {
		t.Errorf("Close = %v, deferred functions ran: %t", err, cleaned)
	}
}

// TestSplitsThatAreLost: a source that ignores emit's error does not end well all the same.
func TestSplitsThatAreLost(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	lost := errors.New("no room")
	list := func(_ context.Context, emit func(int) error) error {
		_ = emit(1)
		_ = emit(2)
		return nil
	}
	d := NewSplits(w, "splits", list, refusing[int]{lost})
	defer func() { _ = d.Close() }()
	outcome, err := d.Step()
	for outcome == Waiting && err == nil {
		d.Wait(t.Context(), nil)
		outcome, err = d.Step()
	}
	if outcome == Done || !errors.Is(err, lost) {
		t.Errorf("got %v, %v; want the error of the first split", outcome, err)
	}
}

// refusing takes nothing.
type refusing[T any] struct{ err error }

func (r refusing[T]) Batch([]T) error          { return r.err }
func (r refusing[T]) Event(record.Event) error { return r.err }
func (r refusing[T]) End() error               { return nil }
