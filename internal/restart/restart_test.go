package restart

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	fixed := Strategy{Kind: FixedDelay, Attempts: 3, Delay: time.Second}
	tests := []struct {
		name     string
		s        Strategy
		restarts int
		want     time.Duration
	}{
		{"a job that starts", Strategy{}, 0, 0},
		{"the first at once", Strategy{}, 1, 0},
		{"the second", Strategy{}, 2, 100 * time.Millisecond},
		{"the third", Strategy{}, 3, 200 * time.Millisecond},
		{"the last below a minute", Strategy{}, 11, 51200 * time.Millisecond},
		{"at most a minute", Strategy{}, 12, time.Minute},
		{"for ever", Strategy{}, math.MaxInt, time.Minute},
		{"by name", Strategy{Kind: ExponentialDelay}, 3, 200 * time.Millisecond},
		{"own numbers", Strategy{InitialBackoff: time.Second, MaxBackoff: 3 * time.Second}, 3, 2 * time.Second},
		{"own limit", Strategy{InitialBackoff: time.Second, MaxBackoff: 3 * time.Second}, 4, 3 * time.Second},
		{"the limit is below the first", Strategy{InitialBackoff: time.Second, MaxBackoff: time.Millisecond}, 2, time.Millisecond},
		{"no duration overflows", Strategy{InitialBackoff: 1, MaxBackoff: math.MaxInt64}, 1000, math.MaxInt64},
		{"fixed: a job that starts", fixed, 0, 0},
		{"fixed: the first", fixed, 1, time.Second},
		{"fixed: the third", fixed, 3, time.Second},
		{"rate: the first", Strategy{Kind: FailureRate, Delay: time.Hour, MaxFailures: 1}, 1, time.Hour},
		{"without a delay", Strategy{Kind: FixedDelay, Attempts: 3}, 2, 0},
	}
	for _, test := range tests {
		if got := test.s.Wait(test.restarts); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestRefusal(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(seconds ...int) (list []time.Time) {
		for _, s := range seconds {
			list = append(list, noon.Add(time.Duration(s)*time.Second))
		}
		return list
	}
	fixed := Strategy{Kind: FixedDelay, Attempts: 2}
	rate := Strategy{Kind: FailureRate, MaxFailures: 2, Interval: time.Minute}
	tests := []struct {
		name  string
		s     Strategy
		total int
		times []time.Time
		want  string // parts, by "|"; "": not refused
	}{
		{"no limit", Strategy{}, math.MaxInt, at(-1, -1, -1), ""},
		{"none", Strategy{Kind: None}, 0, nil, "restart.strategy is none"},
		{"fixed: the first", fixed, 0, nil, ""},
		{"fixed: the last", fixed, 1, nil, ""},
		{"fixed: one more", fixed, 2, nil, "fixed-delay|allows 2 restarts"},
		{"fixed: the limit was lowered", fixed, 9, nil, "fixed-delay|allows 2 restarts"},
		{"fixed: one", Strategy{Kind: FixedDelay, Attempts: 1}, 1, nil, "allows 1 restart"},
		{"rate: the first", rate, 0, nil, ""},
		{"rate: the second", rate, 1, at(-1), ""},
		{"rate: the third", rate, 2, at(-59, -1), "failure-rate|allows 2 restarts in 1m0s"},
		{"rate: an interval later", rate, 2, at(-60, -1), ""},
		{"rate: many, long ago", rate, 100, at(-200, -100), ""},
		{"rate: the limit was lowered", rate, 4, at(-100, -3, -2, -1), "failure-rate"},
		{"rate: all in this moment", rate, 2, at(0, 0), "failure-rate"},
		{"rate: the clock went back a little", rate, 2, at(10, 20), "failure-rate"},
		{"rate: the clock went back between them", rate, 2, at(59, -59), "failure-rate"},
		{"rate: the clock went back an hour", rate, 2, at(3600, 3601), ""},
		{"rate: the clock went forward an hour", rate, 2, at(-3600, -3601), ""},
		{"rate: a time that is none", rate, 2, []time.Time{{}, {}}, ""},
	}
	for _, test := range tests {
		got := test.s.Refusal(test.total, test.times, noon)
		if (got == "") != (test.want == "") {
			t.Errorf("%s: %q", test.name, got)
		}
		for part := range strings.SplitSeq(test.want, "|") {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q does not mention %q", test.name, got, part)
			}
		}
	}
}

// TestRateForgetsInTime: wherever the clock has gone, a restart is refused for less than two intervals.
func TestRateForgetsInTime(t *testing.T) {
	s := Strategy{Kind: FailureRate, MaxFailures: 1, Interval: time.Minute}
	stamped := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, jump := range []time.Duration{-24 * time.Hour, -time.Minute, -59 * time.Second, 0, 30 * time.Second, 24 * time.Hour} {
		refused := time.Duration(0)
		for after := time.Duration(0); after < 3*time.Minute; after += time.Second {
			if s.Refusal(1, []time.Time{stamped}, stamped.Add(jump+after)) != "" {
				refused += time.Second
			}
		}
		if refused >= 2*s.Interval {
			t.Errorf("after a jump of %v it is refused for %v", jump, refused)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, s := range []Strategy{{}, {Kind: None}, {Kind: FixedDelay}, {Kind: FailureRate, MaxFailures: 1, Interval: 1}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []Strategy{{Kind: "fixed"}, {Delay: -1}, {Attempts: -1}, {Kind: FailureRate, MaxFailures: -1}, {MaxBackoff: -1}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}

func TestKeep(t *testing.T) {
	if got := (Strategy{Kind: FailureRate, MaxFailures: 4}).Keep(); got != 4 {
		t.Errorf("failure-rate keeps %d", got)
	}
	if got := (Strategy{Kind: FixedDelay, MaxFailures: 4}).Keep(); got != 0 {
		t.Errorf("fixed-delay keeps %d", got)
	}
}
