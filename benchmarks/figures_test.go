package main

import (
	"testing"
	"time"
)

func TestLongestGap(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	times := []time.Time{at(0), at(10), at(20), at(500), at(510)}
	for _, c := range []struct {
		from, to int
		want     time.Duration
	}{
		{0, 15, 10 * time.Millisecond},
		{5, 15, 10 * time.Millisecond},
		{12, 100, 480 * time.Millisecond},  // it ends after the window
		{100, 200, 480 * time.Millisecond}, // it begins before it as well
		{505, 700, 190 * time.Millisecond}, // nothing came any more
	} {
		if got := longestGap(times, at(c.from), at(c.to)); got != c.want {
			t.Errorf("from %d to %d ms: %v, not %v", c.from, c.to, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var thousand []int
	for i := range 1000 {
		thousand = append(thousand, i+1)
	}
	for q, want := range map[float64]int{0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := quantile(thousand, q); got != want {
			t.Errorf("%v of 1 to 1000 is %d, not %d", q, got, want)
		}
	}
	if got := quantile([]int{7, 5}, 0.99); got != 7 {
		t.Errorf("0.99 of two is %d", got)
	}
}
