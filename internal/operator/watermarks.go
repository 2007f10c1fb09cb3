package operator

import (
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

// watermarkInterval is how long a watermark that has risen waits for a higher one: each sends what
// exchanges hold back.
const watermarkInterval = 100 * time.Millisecond

// Times tells how the event times of records become watermarks.
type Times[T any] struct {
	At       func(*T) int64 // ms since 1970
	Lateness int64          // no record is expected to come later than so many ms behind the latest so far
	Idleness time.Duration  // after so long without a record the step is idle; 0: never
}

// Watermarks returns the step that hands records on and follows their event times.
func Watermarks[T any](w *Wiring, name string, t Times[T], out Receiver[T]) Receiver[T] {
	m := &watermarks[T]{Times: t, w: w, name: name, out: out, latest: NoWatermark, sent: NoWatermark}
	w.flushers = append(w.flushers, m)
	return m
}

type watermarks[T any] struct {
	Times[T]
	w      *Wiring
	name   string
	out    Receiver[T]
	latest int64
	sent   int64
	due    time.Time // when the next is to be sent; zero: none is

	// last is when the last batch had gone through the chain, or the time began to count: not before the subtask's loop
	// does, nor while a stop has silenced it. Zero: it does not. Only where Idleness is set.
	last time.Time
	held time.Duration // for how long input had been held back by then
	idle bool
}

func (m *watermarks[T]) Batch(records []T) error {
	if m.idle {
		m.idle = false
		if err := m.out.Event(record.Event{Kind: record.Active}); err != nil {
			return err
		}
	}
	latest := m.latest
	for i := range records {
		latest = max(latest, m.At(&records[i]))
	}
	if m.latest = latest; m.due.IsZero() && latest > m.sent+m.Lateness {
		m.due = time.Now().Add(watermarkInterval)
	}
	if m.Idleness == 0 {
		return m.out.Batch(records)
	}
	err := m.out.Batch(records)
	m.last, m.held = time.Now(), m.w.heldBack() // not before: it may have waited for consumers
	return err
}

// Deadline is when a watermark is due, or the step is to be idle.
func (m *watermarks[T]) Deadline() (due time.Time, held bool) {
	if m.w.silent() {
		m.last = time.Time{}
		return time.Time{}, false
	}
	if m.Idleness > 0 && m.last.IsZero() {
		m.last, m.held = time.Now(), m.w.heldBack()
	}
	due = m.due
	if m.Idleness > 0 && !m.idle && !m.w.back {
		if at := m.silentAt(); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due, !due.IsZero()
}

// silentAt is when nothing will have come for long enough: time in which input was held back does not count.
func (m *watermarks[T]) silentAt() time.Time { return m.last.Add(m.Idleness + m.w.heldBack() - m.held) }

// Flush sends the watermark, and says that the step is idle if it is.
func (m *watermarks[T]) Flush() error {
	return m.w.as(m.name, func() error {
		if err := m.send(); err != nil || m.Idleness == 0 || m.idle || m.w.back || m.last.IsZero() || time.Now().Before(m.silentAt()) {
			return err
		}
		if !m.w.waiting { // the subtask may have been busy, and input wait: its loop comes here again
			return nil
		}
		m.idle = true
		return m.out.Event(record.Event{Kind: record.Idle})
	})
}

func (m *watermarks[T]) send() error {
	if m.due.IsZero() {
		return nil
	}
	m.due = time.Time{}
	m.sent = m.latest - m.Lateness
	return m.out.Event(record.Event{Kind: record.Watermark, Value: m.sent})
}

// Event hands on what is not about event time: that of before is replaced.
func (m *watermarks[T]) Event(e record.Event) error {
	switch e.Kind {
	case record.Watermark, record.Idle, record.Active:
		return nil
	}
	return m.out.Event(e)
}

// End sends the watermark, as others may be idle: then event time goes as far as that.
func (m *watermarks[T]) End() error {
	if err := m.send(); err != nil {
		return err
	}
	return m.out.End()
}
