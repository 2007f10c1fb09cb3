package disk

import (
	"runtime/debug"
	"strconv"
	"testing"
)

// TestBudgetFits: the budget is at most half of what the task process may have, and what Go's collector does not see of it is taken off
// the collector's limit.
func TestBudgetFits(t *testing.T) {
	for _, c := range []struct {
		memory string
		budget int64
		want   int64
	}{
		{"", 1 << 30, 1 << 30},
		{"nonsense", 1 << 30, 1 << 30},
		{strconv.Itoa(4 << 30), 1 << 30, 1 << 30},
		{strconv.Itoa(1 << 30), 1 << 30, 512 << 20},
	} {
		before := debug.SetMemoryLimit(3 << 30)
		s := &store{options: options{budget: c.budget}}
		s.fitInto(c.memory)
		limit := debug.SetMemoryLimit(before)
		left := int64(3 << 30)
		if n, err := strconv.ParseInt(c.memory, 10, 64); err == nil && n > 0 && outsideHeap {
			left -= c.want
		}
		if s.budget != c.want || limit != left {
			t.Errorf("%q: budget %d, want %d; Go's limit %d, want %d", c.memory, s.budget, c.want, limit, left)
		}
	}
}
