// Package meter makes rates of counters that are looked at from afar. It is a leaf, and starts
// nothing.
package meter

import "time"

// window is over how long a rate is taken. Counters arrive once a second from each TaskManager,
// so that a rate from one look to the next would be nothing, or too much.
const window = 3 * time.Second

// Meter measures a counter from one of its changes to another. The zero Meter is ready for use.
type Meter struct {
	changes []reading // the newest last; the first is the base
}

type reading struct {
	at time.Time
	n  uint64
}

// Look takes the counter's value; one that falls has begun anew.
func (m *Meter) Look(now time.Time, n uint64) {
	last := len(m.changes) - 1
	if last >= 0 && n == m.changes[last].n {
		return
	}
	if last >= 0 && n < m.changes[last].n {
		m.changes = nil
	}
	m.changes = append(m.changes, reading{now, n})
	for len(m.changes) > 2 && now.Sub(m.changes[1].at) >= window {
		m.changes = m.changes[1:]
	}
}

// PerSecond is the rate: 0 once nothing has changed for the whole window.
func (m *Meter) PerSecond(now time.Time) uint64 {
	last := len(m.changes) - 1
	if last < 1 || now.Sub(m.changes[last].at) >= window {
		return 0
	}
	first := m.changes[0]
	return uint64(float64(m.changes[last].n-first.n) / m.changes[last].at.Sub(first.at).Seconds())
}
