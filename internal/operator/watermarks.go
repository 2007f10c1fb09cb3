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
	m := &watermarks[T]{Times: t, w: w, name: name, out: out, latest: NoWatermark, sent: NoWatermark, last: time.Now()}
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

	last  time.Time     // when the last batch had gone through the chain; only where Idleness is set
	held  time.Duration // for how long input had been held back by then
	idle  bool
	asked bool // the time is over, and input was asked for once more
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
	m.last, m.held, m.asked = time.Now(), m.w.before, false // not before: it may have waited for consumers
	return err
}

// Deadline is when a watermark is due, or the step is to be idle.
func (m *watermarks[T]) Deadline() (due time.Time, held bool) {
	if m.w.silent() {
		return time.Time{}, false
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
func (m *watermarks[T]) silentAt() time.Time { return m.last.Add(m.Idleness + m.w.before - m.held) }

// Flush sends the watermark, and says that the step is idle if it is.
func (m *watermarks[T]) Flush() error {
	return m.w.as(m.name, func() error {
		if err := m.send(); err != nil || m.Idleness == 0 || m.idle || m.w.back || time.Now().Before(m.silentAt()) {
			return err
		}
		if !m.asked { // the subtask may have been busy, and input wait: its loop asks before it comes here again
			m.asked = true
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
	case record.Barrier:
		m.asked = false // what waited for it comes now, if there is any
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
