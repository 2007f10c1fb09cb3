package operator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

// idling is a subtask in a bubble that follows event times, and is idle after a second.
type idling struct {
	t    *testing.T
	w    *Wiring
	step Receiver[int]
	out  journal[int]
}

// inBubble calls f with one whose records go to out, or to what behind makes in front of that.
func inBubble(t *testing.T, behind func(Receiver[int]) Receiver[int], f func(s *idling)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &idling{t: t, w: NewWiring(t.Context(), ContextConfig{})}
		out := Receiver[int](&s.out)
		if behind != nil {
			out = behind(out)
		}
		s.step = Watermarks(s.w, "times", Times[int]{At: func(n *int) int64 { return int64(*n) }, Lateness: 10, Idleness: time.Second}, out)
		f(s)
	})
}

// pass lets time pass as the subtask's loop does, in which no input comes.
func (s *idling) pass(d time.Duration) {
	s.t.Helper()
	s.w.Waits(true)
	defer s.w.Waits(false)
	for end := time.Now().Add(d); ; {
		due, held := s.w.Flushers()[0].Deadline()
		if !held || due.After(end) {
			time.Sleep(time.Until(end)) // of the bubble: nobody waits
			return
		}
		time.Sleep(time.Until(due))
		said(s.t, s.w.Flushers()[0].Flush())
	}
}

func (s *idling) event(kind record.EventKind) {
	s.t.Helper()
	said(s.t, s.step.Event(record.Event{Kind: kind, Value: 1}))
}

func (s *idling) saw(want string) {
	s.t.Helper()
	if got := s.out.String(); got != want {
		s.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestIdleness: idle after a second without a record, be it the first, and active before the next one.
func TestIdleness(t *testing.T) {
	inBubble(t, nil, func(s *idling) {
		s.pass(999 * time.Millisecond)
		s.saw("")
		s.pass(time.Hour)
		s.saw("i0")
		batch(t, s.step, []int{100})
		s.pass(999 * time.Millisecond)
		s.saw("i0 a0 100 w90")
		batch(t, s.step, []int{50})
		s.pass(time.Hour)
		s.saw("i0 a0 100 w90 50 i0")
	})
}

// TestIdlenessOfBefore is replaced, as watermarks are.
func TestIdlenessOfBefore(t *testing.T) {
	inBubble(t, nil, func(s *idling) {
		s.event(record.Idle)
		s.event(record.Active)
		s.event(record.Watermark)
		s.event(record.Barrier)
		said(t, s.step.End())
		s.saw("b1 end")
	})
}

// anHour takes an hour for each batch.
type anHour struct{ Receiver[int] }

func (s anHour) Batch(records []int) error {
	time.Sleep(time.Hour) // of the bubble
	return s.Receiver.Batch(records)
}

// TestBusyIsNotIdle: a subtask that waits for its consumers, has input waiting, or whose input is held back, is not idle.
func TestBusyIsNotIdle(t *testing.T) {
	inBubble(t, func(out Receiver[int]) Receiver[int] { return anHour{out} }, func(s *idling) {
		batch(t, s.step, []int{100})
		s.pass(999 * time.Millisecond)
		s.saw("100 w90")
	})
	inBubble(t, nil, func(s *idling) {
		s.pass(0)
		time.Sleep(time.Hour) // of the bubble: the subtask was elsewhere
		for range 3 {         // it finds what came from upstream: no record
			s.event(record.Watermark)
			said(t, s.w.Flushers()[0].Flush())
		}
		batch(t, s.step, []int{100}) // its input had waited
		said(t, s.w.Flushers()[0].Flush())
		s.saw("100 w90")
	})
	inBubble(t, nil, func(s *idling) { // operators before it took long to open
		time.Sleep(time.Hour) // of the bubble
		s.pass(999 * time.Millisecond)
		s.saw("")
		s.pass(time.Millisecond)
		s.saw("i0")
	})
	inBubble(t, nil, func(s *idling) {
		s.w.holdBack(true)
		s.pass(time.Hour)
		s.w.holdBack(false)
		s.event(record.Barrier)
		s.pass(999 * time.Millisecond)
		s.saw("b1")
		s.pass(time.Millisecond)
		s.saw("b1 i0")
	})
	inBubble(t, nil, func(s *idling) { // checkpoints that come more often than the silence is long
		for range 10 {
			s.w.holdBack(true)
			s.pass(10 * time.Millisecond)
			s.w.holdBack(false)
			s.event(record.Barrier)
			s.pass(100 * time.Millisecond)
		}
		s.saw("b1 b1 b1 b1 b1 b1 b1 b1 b1 b1 i0")
	})
}

// TestSilentIsNotIdle: after the barrier of a stop nothing is said.
func TestSilentIsNotIdle(t *testing.T) {
	inBubble(t, nil, func(s *idling) {
		s.w.Silence(2, true)
		said(t, s.w.Checkpoint(2, func(record.Event) error { return nil }))
		s.pass(time.Hour)
		s.saw("")
		s.w.Resume(2)
		s.pass(999 * time.Millisecond) // the time of silence does not count
		s.saw("")
		s.pass(time.Millisecond)
		s.saw("i0")
	})
}

// TestHeldBack: a driver says when its input is held back by an alignment.
func TestHeldBack(t *testing.T) {
	w := NewWiring(t.Context(), ContextConfig{})
	var out journal[int]
	d := newGateDriver(w, []Port{CarrierOf[int]().Port(CarrierOf[int]().Gate(2), &out, 0)}, 2)
	for _, step := range []struct {
		checkpoint int64
		channel    int
		behind     bool
	}{{1, 0, true}, {1, 1, false}, {2, 1, true}, {3, 0, true}, {3, 1, false}} {
		said(t, d.event(record.Event{Kind: record.Barrier, Value: step.checkpoint}, step.channel))
		if w.back != step.behind {
			t.Errorf("after barrier %d on channel %d: behind is %t", step.checkpoint, step.channel, w.back)
		}
	}
}
