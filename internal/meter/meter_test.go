package meter

import (
	"testing"
	"time"
)

// TestMeter looks four times a second at a counter that grows by 1000 a second, in steps.
func TestMeter(t *testing.T) {
	var m Meter
	began := time.Now()
	at := func(quarter int) time.Time { return began.Add(time.Duration(quarter) * 250 * time.Millisecond) }
	for q := range 41 {
		m.Look(at(q), 1000*uint64(q/4))
		if q >= 4 && m.PerSecond(at(q)) != 1000 {
			t.Errorf("after %v the rate is %d", at(q).Sub(began), m.PerSecond(at(q)))
		}
	}
	if len(m.changes) > 6 {
		t.Errorf("%d readings are kept", len(m.changes))
	}
	if got := m.PerSecond(at(41 + 12)); got != 0 {
		t.Errorf("three seconds after the last change the rate is %d", got)
	}
	m.Look(at(60), 10)
	m.Look(at(64), 510)
	if got := m.PerSecond(at(64)); got != 500 {
		t.Errorf("of a counter that has begun anew the rate is %d", got)
	}
}
