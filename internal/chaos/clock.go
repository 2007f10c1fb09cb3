package chaos

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/testclock"
)

func needsClocks(s *Site) string {
	if len(s.clocks) == 0 {
		return "its processes have the machine's clock"
	}
	return ""
}

// clockFaults are of the wall clock of some processes; each ends with the right time.
var clockFaults = []fault{
	{name: "clock jumps", row: "29", weight: 2, gentle: true, do: (*round).jump, needs: needsClocks},
	{name: "clock twice as fast", row: "29", weight: 1, gentle: true, do: (*round).race, needs: needsClocks},
}

// wrong are the clocks of some processes: that of one, or all.
func (r *round) wrong() []testclock.Clock {
	var names []string
	for name := range r.clocks {
		names = append(names, name)
	}
	slices.Sort(names) // what is drawn is the seed's
	if r.draw.IntN(3) > 0 {
		names = []string{names[r.draw.IntN(len(names))]}
	}
	var some []testclock.Clock
	for _, name := range names {
		some = append(some, r.clocks[name])
	}
	return some
}

func set(clocks []testclock.Clock, by time.Duration) (err error) {
	for _, c := range clocks {
		err = errors.Join(err, c.Set(by))
	}
	return err
}

// jump sets clocks an hour on, or back.
func (r *round) jump(ctx context.Context) error {
	clocks, by := r.wrong(), time.Hour
	if r.draw.IntN(2) == 0 {
		by = -by
	}
	return r.during(ctx, r.moments(300, 3000), func() error { return set(clocks, by) }, func() error { return set(clocks, 0) })
}

// race has clocks run at twice their speed.
func (r *round) race(ctx context.Context) error {
	clocks, began := r.wrong(), time.Now()
	for length := r.moments(500, 3000); time.Since(began) < length; {
		if err := errors.Join(set(clocks, time.Since(began)), wait(ctx, 20*time.Millisecond)); err != nil {
			return errors.Join(err, set(clocks, 0))
		}
	}
	return set(clocks, 0)
}
