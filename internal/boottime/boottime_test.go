package boottime

import (
	"testing"
	"time"
)

// It never goes back, and goes at least as fast as Go's own clock.
func TestNow(t *testing.T) {
	began, first := time.Now(), Now()
	for last := first; last < first+time.Millisecond; {
		now := Now()
		if now < last {
			t.Fatalf("it went from %v back to %v", last, now)
		}
		last = now
	}
	if took, own := Now()-first, time.Since(began); took > own+time.Millisecond {
		t.Errorf("%v passed, and %v by Go's clock, which began before it and ended after it", took, own)
	}
}
