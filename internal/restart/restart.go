// Package restart decides whether a job that lost a task process or a TaskManager runs again, and after
// how long. It computes from values alone: it reads no clock, does no I/O, and owns no goroutine.
package restart

import (
	"cmp"
	"fmt"
	"time"
)

// Kind names a strategy, as restart.strategy does.
type Kind string

// The strategies.
const (
	ExponentialDelay Kind = "exponential-delay" // without a limit; ever longer waits until a checkpoint completes
	FixedDelay       Kind = "fixed-delay"       // so many restarts in a job's life
	FailureRate      Kind = "failure-rate"      // so many restarts in any interval
	None             Kind = "none"              // no restart
)

// What ExponentialDelay waits where nothing else is said.
const (
	firstBackoff = 100 * time.Millisecond
	longBackoff  = time.Minute
)

// Strategy is when and how often a job is restarted. The zero value is ExponentialDelay.
type Strategy struct {
	Kind Kind

	InitialBackoff time.Duration // ExponentialDelay: before the second restart, then doubled; 100ms
	MaxBackoff     time.Duration // ExponentialDelay: at most; 1m

	Delay       time.Duration // FixedDelay, FailureRate: before each restart
	Attempts    int           // FixedDelay: restarts that there may be
	MaxFailures int           // FailureRate: restarts that there may be in Interval
	Interval    time.Duration // FailureRate
}

// Validate says what is wrong with a strategy.
func (s Strategy) Validate() error {
	switch s.Kind {
	case "", ExponentialDelay, FixedDelay, FailureRate, None:
	default:
		return fmt.Errorf("restart.strategy is %q: expected %s, %s, %s or %s", s.Kind, ExponentialDelay, FixedDelay, FailureRate, None)
	}
	if min(s.InitialBackoff, s.MaxBackoff, s.Delay, s.Interval) < 0 || min(s.Attempts, s.MaxFailures) < 0 {
		return fmt.Errorf("restart.strategy %s: no delay, interval or number may be negative", cmp.Or(s.Kind, ExponentialDelay))
	}
	return nil
}

// Wait is how long a restart waits, of which there are that many, itself included, since a checkpoint
// last completed. With 0 there is none, and nothing is waited for.
func (s Strategy) Wait(restarts int) time.Duration {
	switch {
	case restarts <= 0:
		return 0
	case s.Kind == FixedDelay || s.Kind == FailureRate:
		return s.Delay
	case restarts == 1:
		return 0
	}
	most := cmp.Or(s.MaxBackoff, longBackoff)
	delay := cmp.Or(s.InitialBackoff, firstBackoff)
	for ; restarts > 2 && delay < most; restarts-- {
		if delay > most/2 {
			return most // and never beyond what a duration holds
		}
		delay *= 2
	}
	return min(delay, most)
}

// Refusal says why there is not to be another restart now, or "". total counts those of the job's life;
// times are those of the newest, at least as many as Keep says where there were so many.
func (s Strategy) Refusal(total int, times []time.Time, now time.Time) string {
	switch {
	case s.Kind == None:
		return "the job is not restarted: restart.strategy is none"
	case s.Kind == FixedDelay && total >= s.Attempts:
		return fmt.Sprintf("the job is not restarted: restart.strategy is fixed-delay, and restart.fixed-delay.attempts allows %s", number(s.Attempts))
	case s.Kind == FailureRate && s.recent(times, now) >= s.MaxFailures:
		return fmt.Sprintf("the job is not restarted: restart.strategy is failure-rate, and restart.failure-rate.max-failures-per-interval allows %s in %v",
			number(s.MaxFailures), s.Interval)
	}
	return ""
}

// Keep is how many times of restarts, the newest, Refusal wants to know.
func (s Strategy) Keep() int {
	if s.Kind == FailureRate {
		return s.MaxFailures
	}
	return 0
}

// recent counts the restarts of the last interval. The times may be another process's: one a little
// ahead of now was told by a clock that differs, or that was put back, and counts. One further ahead
// than an interval was not told by a clock like this one, and must not count until that time has come.
func (s Strategy) recent(times []time.Time, now time.Time) int {
	n := 0
	for _, t := range times {
		if now.Sub(t).Abs() < s.Interval {
			n++
		}
	}
	return n
}

func number(restarts int) string {
	if restarts == 1 {
		return "1 restart"
	}
	return fmt.Sprintf("%d restarts", restarts)
}
