package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// goOns are what ends the silence after the stop of checkpoint 1.
var goOns = map[string]func(w *Wiring){
	"the stop failed":        func(w *Wiring) { w.Resume(1) },
	"the next one stops not": func(w *Wiring) { w.Silence(2, false); w.Announce(2) },
}

// TestSilence: after the barrier of a stop a reader emits nothing, not even its end, waits without being woken, and
// goes on exactly there.
func TestSilence(t *testing.T) {
	for name, goOn := range goOns {
		for _, bounded := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, bounded %t", name, bounded), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := subtasks{open: func(p piece) (Reader[int], error) { return &alwaysReady{plainReader{p}}, nil }}
					gate := shuffle.NewGate[piece](1, mustCodec[piece](t))
					to := channelWriter(t, gate, 0)
					w, d, out := s.wire(t, gate, bounded, 0, 1)
					said(t, to.Batch([]piece{{0, 10}, {10, 20}}))
					w.Silence(1, true)
					stepUntil(t, d, out, "2")
					w.Announce(1)
					said(t, to.Event(record.Event{Kind: record.Barrier, Value: 1}))
					said(t, to.End())
					stoppedUntil(t, w, d, out, func() { goOn(w) }, 20)
				})
			})
		}
	}
}

// stoppedUntil: d, a reader, has emitted nothing after its barrier, and emits nothing until goOn; then all numbers come, once each.
func stoppedUntil(t *testing.T, w *Wiring, d Driver, out *journal[int], goOn func(), numbers int) {
	t.Helper()
	if stepAll(t, d) != Waiting || !strings.HasSuffix(out.String(), "s1") {
		t.Fatalf("after the barrier it went on: %v", out)
	}
	silentUntil(t, w, d, goOn)
	if stepAll(t, d) != Done {
		t.Fatal("it did not go on to its end")
	}
	if err := sameNumbers(numbersOf(out), numbers); err != nil {
		t.Error(err)
	}
}

// TestSilenceBeforeTheTrigger: the barrier of a stop may come from another process before the trigger does. What would be
// emitted until then is not in the savepoint.
func TestSilenceBeforeTheTrigger(t *testing.T) {
	for name, goOn := range goOns {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := subtasks{open: func(p piece) (Reader[int], error) { return &alwaysReady{plainReader{p}}, nil }}
				gate := shuffle.NewGate[piece](1, mustCodec[piece](t))
				to := channelWriter(t, gate, 0)
				w, d, out := s.wire(t, gate, false, 0, 1)
				said(t, to.Batch([]piece{{0, 10}}))
				stepUntil(t, d, out, "2")
				said(t, to.Event(record.Event{Kind: record.StopBarrier, Value: 1}))
				said(t, to.End())
				stoppedUntil(t, w, d, out, func() { goOn(w) }, 10)
			})
		})
	}
}

// TestLateStopBarrier: one that comes after its stop was given up, or after a newer trigger, silences nobody, and says so to nobody.
func TestLateStopBarrier(t *testing.T) {
	for name, goOn := range goOns {
		w := NewWiring(t.Context(), ContextConfig{})
		goOn(w)
		var out journal[int]
		d := newGateDriver(w, []Port{&port[int]{chain: &out}}, 1)
		said(t, d.event(record.Event{Kind: record.StopBarrier, Value: 1}, 0))
		if w.silent() || out.String() != "b1" {
			t.Errorf("%s: silent %t, it said %v", name, w.silent(), &out)
		}
	}
}

// TestStopBarrierGoesOn: who hears of a stop by its barrier hands that on, whatever comes first on the channels.
func TestStopBarrierGoesOn(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	var out journal[int]
	d := newGateDriver(w, []Port{&port[int]{chain: &out}}, 2)
	for channel := range 2 {
		if w.silent() {
			t.Error("it is silent before the barrier is there")
		}
		said(t, d.event(record.Event{Kind: record.StopBarrier, Value: 1}, channel))
	}
	if !w.silent() || !w.SilentAfter(1) || out.String() != "s1" {
		t.Errorf("silent %t, it said %v", w.silent(), &out)
	}
}

// TestSilenceOfSplits: nor does one that lists splits.
func TestSilenceOfSplits(t *testing.T) {
	for name, goOn := range goOns {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := NewWiring(t.Context(), ContextConfig{})
				var out journal[int]
				d := NewSplits(w, "splits", listing(1, 2, 3), &out)
				_, err := d.Step() // the listing begins
				said(t, err)
				synctest.Wait() // it has all
				w.Silence(1, true)
				w.Announce(1)
				if stepAll(t, d) != Waiting || !strings.HasSuffix(out.String(), "s1") {
					t.Fatalf("after the barrier it went on: %v", &out)
				}
				silentUntil(t, w, d, func() { goOn(w) })
				if err := runToEnd(t.Context(), d); err != nil || strings.Join(numbersOf(&out), " ") != "1 2 3" {
					t.Errorf("got %v, %v", &out, err)
				}
			})
		})
	}
}

// TestStaleSilence: what comes late about an older checkpoint changes nothing.
func TestStaleSilence(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	w.taken = 5
	w.Silence(5, true)
	w.Silence(4, false)
	w.Resume(4)
	if !w.silent() {
		t.Error("an older checkpoint ended the silence")
	}
	w.Silence(4, true)
	if w.Resume(5); w.silent() {
		t.Error("its own end did not")
	}
}

// TestEndInput: a source that is drained ends with what it has read; what it has not read, and the splits that it
// was sent and has not begun, stay in its state.
func TestEndInput(t *testing.T) {
	for _, bounded := range []bool{true, false} {
		t.Run(fmt.Sprintf("bounded %t", bounded), func(t *testing.T) {
			s := subtasks{open: func(p piece) (Reader[int], error) { return &alwaysReady{plainReader{p}}, nil }}
			gate := shuffle.NewGate[piece](1, mustCodec[piece](t))
			to := channelWriter(t, gate, 0)
			w, d, out := s.wire(t, gate, bounded, 0, 1)
			said(t, to.Batch([]piece{{0, 10}, {10, 20}}))
			stepUntil(t, d, out, "2")
			w.EndInput()
			said(t, to.Batch([]piece{{20, 30}}))
			if stepAll(t, d) != Waiting {
				t.Fatal("it ended before all splits had come that were sent")
			}
			said(t, to.End())
			if stepAll(t, d) != Done || !strings.HasSuffix(out.String(), "end") {
				t.Fatalf("it did not end: %v", out)
			}
			said(t, d.Close())
			p, _, err := w.Final(1)
			if err != nil {
				t.Fatal(err)
			}
			s.states = []Restored{stateOf(sourceState, 0, p.Snapshots[0].Data)}
			if err := sameNumbers(append(numbersOf(out), s.rest(t, bounded, 2)...), 30); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEndInputOfSplits: an enumerator that is drained hands on the rest when it goes on.
func TestEndInputOfSplits(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	var out journal[int]
	d := NewSplits(w, "splits", func(ctx context.Context, emit func(int) error) error {
		_ = listing(1, 2)(ctx, emit)
		<-ctx.Done()
		return nil
	}, &out)
	for len(out.lines) < 2 {
		if stepAll(t, d) == Waiting && len(out.lines) < 2 {
			d.Wait(t.Context(), nil)
		}
	}
	w.EndInput()
	d.Wait(t.Context(), nil) // although list says nothing
	said(t, runToEnd(t.Context(), d))
	p, _, err := w.Final(job.CheckpointID(1))
	if err != nil || out.String() != "1 2 end" {
		t.Fatalf("got %v, %v", &out, err)
	}
	w = NewWiring(t.Context(), ContextConfig{})
	w.Restore(1, map[string][]Restored{"splits": {stateOf(sourceState, 0, p.Snapshots[0].Data)}}, nil, nil)
	var rest journal[int]
	if err := runToEnd(t.Context(), NewSplits(w, "splits", listing(1, 2, 3), &rest)); err != nil || rest.String() != "3 end" {
		t.Errorf("then got %v, %v", &rest, err)
	}
}

// alwaysReady would wake whoever listens to it.
type alwaysReady struct{ plainReader }

func (r *alwaysReady) Ready() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func listing(list ...int) func(context.Context, func(int) error) error {
	return func(_ context.Context, emit func(int) error) error {
		for _, n := range list {
			if err := emit(n); err != nil {
				return err
			}
		}
		return nil
	}
}

// silentUntil demands that d, in a bubble, waits for nothing but what goOn does.
func silentUntil(t *testing.T, w *Wiring, d Driver, goOn func()) {
	t.Helper()
	select {
	case <-w.Wake(): // of the announcement
	default:
	}
	woken := make(chan struct{})
	go func() { d.Wait(t.Context(), nil); close(woken) }()
	synctest.Wait()
	select {
	case <-woken:
		t.Fatal("it was woken although it is to be silent")
	default:
	}
	goOn()
	<-woken
}

func stepUntil(t *testing.T, d Driver, out *journal[int], last string) {
	t.Helper()
	for !strings.HasSuffix(out.String(), last) {
		_, err := d.Step()
		said(t, err)
	}
}

func numbersOf(out *journal[int]) []string {
	var numbers []string
	for _, l := range out.lines {
		if l != "end" && l[0] != 'b' && l[0] != 's' {
			numbers = append(numbers, l)
		}
	}
	return numbers
}

func said(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
