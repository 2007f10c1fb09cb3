package taskmanager

import (
	"slices"
	"testing"
)

// TestShares: a job has the part of its slots, and of a CPU no less than one.
func TestShares(t *testing.T) {
	all := Limits{Memory: 1000 << 20, CPUs: 6}
	for _, c := range []struct {
		slots, of int
		memory    int64
		cpus      int
	}{{1, 4, 250 << 20, 2}, {3, 4, 750 << 20, 5}, {4, 4, 1000 << 20, 6}, {1, 64, 1000 << 20 / 64, 1}} {
		if s := all.share(c.slots, c.of); s.Memory != c.memory || s.CPUs != c.cpus {
			t.Errorf("%d of %d slots: got %+v, want %+v", c.slots, c.of, s, c)
		}
	}
	if s := (Limits{}).share(1, 4); s != (Limits{}) {
		t.Errorf("of no limits: %+v", s)
	}
}

// TestEnvironment: Go is told its limits, unless the operator has.
func TestEnvironment(t *testing.T) {
	l := Limits{Memory: 1000, CPUs: 2}
	for _, c := range []struct{ env, want []string }{
		{nil, []string{"GOMEMLIMIT=900", "PERENNIAL_MEMORY=1000", "GOMAXPROCS=2"}},
		{[]string{"GOMEMLIMIT=1GiB"}, []string{"GOMEMLIMIT=1GiB", "GOMAXPROCS=2"}},
		{[]string{"GOMAXPROCS=7"}, []string{"GOMAXPROCS=7", "GOMEMLIMIT=900", "PERENNIAL_MEMORY=1000"}},
	} {
		if got := l.environ(c.env); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.env, got, c.want)
		}
	}
	if got := (Limits{}).environ(nil); got != nil {
		t.Errorf("of no limits: %v", got)
	}
}
