package task

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Lease is how long the subtasks of a process may run: the TaskManager hands on what a leader has granted it. A nil one is never
// over.
//
// Who looks at it is the subtask itself, before each batch, by a clock that goes on while the host is suspended: a goroutine that
// stops it would itself have to be scheduled first after a suspension, and would race with a batch. So what is in hand when the lease
// ends is finished, and nothing after it is begun.
type Lease struct {
	now   func() time.Duration
	until atomic.Int64

	mu      sync.Mutex
	renewed chan struct{} // closed and replaced by Renew
}

// NewLease returns a lease that is over at until, by now.
func NewLease(until time.Duration, now func() time.Duration) *Lease {
	l := &Lease{now: now, renewed: make(chan struct{})}
	l.until.Store(int64(until))
	return l
}

// over reports whether a subtask is to stand still. It costs the reading of a clock, and nothing without a lease.
func (l *Lease) over() bool { return l != nil && int64(l.now()) >= l.until.Load() }

// Renew has the lease last until then. Any goroutine may call it.
func (l *Lease) Renew(until time.Duration) {
	if l == nil {
		return
	}
	l.until.Store(int64(until))
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.renewed)
	l.renewed = make(chan struct{})
}

// await returns once the lease is not over, or when ctx ends.
func (l *Lease) await(ctx context.Context) {
	for {
		l.mu.Lock()
		renewed := l.renewed
		l.mu.Unlock()
		if !l.over() {
			return
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			return
		}
	}
}
