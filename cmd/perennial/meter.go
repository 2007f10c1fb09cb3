package main

import "time"

// meterWindow is over how long a rate is taken. Counters arrive once a second from each
// TaskManager, so that a rate from one look to the next would be nothing, or too much.
const meterWindow = 3 * time.Second

// meter makes a rate of a counter that is looked at now and then: it measures from one change
// to another.
type meter struct {
	changes []reading // the newest last; the first is the base
}

type reading struct {
	at time.Time
	n  uint64
}

// look takes the counter's value.
func (m *meter) look(now time.Time, n uint64) {
	last := len(m.changes) - 1
	if last >= 0 && n == m.changes[last].n {
		return
	}
	if last >= 0 && n < m.changes[last].n { // a new attempt counts anew
		m.changes = nil
	}
	m.changes = append(m.changes, reading{now, n})
	for len(m.changes) > 2 && now.Sub(m.changes[1].at) >= meterWindow {
		m.changes = m.changes[1:]
	}
}

// perSecond is the rate: 0 once nothing has changed for the whole window.
func (m *meter) perSecond(now time.Time) uint64 {
	last := len(m.changes) - 1
	if last < 1 || now.Sub(m.changes[last].at) >= meterWindow {
		return 0
	}
	first := m.changes[0]
	return uint64(float64(m.changes[last].n-first.n) / m.changes[last].at.Sub(first.at).Seconds())
}
