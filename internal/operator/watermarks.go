package operator

import (
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

// watermarkInterval is how long a watermark that has risen waits for a higher one: each sends what
// exchanges hold back.
const watermarkInterval = 100 * time.Millisecond

// Watermarks returns the step that hands records on and follows their event times, ms since 1970: no
// record is expected to come later than so many ms behind the latest so far.
func Watermarks[T any](w *Wiring, name string, at func(*T) int64, lateness int64, out Receiver[T]) Receiver[T] {
	m := &watermarks[T]{w: w, name: name, at: at, lateness: lateness, out: out, latest: NoWatermark, sent: NoWatermark}
	w.flushers = append(w.flushers, m)
	return m
}

type watermarks[T any] struct {
	w        *Wiring
	name     string
	at       func(*T) int64
	lateness int64
	out      Receiver[T]
	latest   int64
	sent     int64
	due      time.Time // when the next is to be sent; zero: none is
}

func (m *watermarks[T]) Batch(records []T) error {
	latest := m.latest
	for i := range records {
		latest = max(latest, m.at(&records[i]))
	}
	if m.latest = latest; m.due.IsZero() && latest > m.sent+m.lateness {
		m.due = time.Now().Add(watermarkInterval)
	}
	return m.out.Batch(records)
}

func (m *watermarks[T]) Deadline() (time.Time, bool) { return m.due, !m.due.IsZero() && !m.w.silent() }

// Flush sends the watermark.
func (m *watermarks[T]) Flush() error {
	if m.due.IsZero() {
		return nil
	}
	m.due = time.Time{}
	m.sent = m.latest - m.lateness
	return m.w.as(m.name, func() error { return m.out.Event(record.Event{Kind: record.Watermark, Value: m.sent}) })
}

// Event hands on what is no watermark: those of before are replaced.
func (m *watermarks[T]) Event(e record.Event) error {
	if e.Kind == record.Watermark {
		return nil
	}
	return m.out.Event(e)
}

func (m *watermarks[T]) End() error { return m.out.End() }
