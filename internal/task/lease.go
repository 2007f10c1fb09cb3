package task

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Lease is how long the subtasks of a process may run: the TaskManager hands on what a leader has granted it.
//
// Who looks at it is the subtask itself (subtask.heed), before it begins and between two batches, by a clock that goes on while the host is suspended: a goroutine that
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

// over reports whether subtasks are to stand still.
func (l *Lease) over() bool { return int64(l.now()) >= l.until.Load() }

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

// lookEvery is how much a subtask does at most between two looks at its lease, beside a batch: a look is a system call, which costs as much
// as a hundred small records. It is running time: after a suspension no more than that is done before the lease is seen to be over, as of
// the batch that was in hand.
const lookEvery = time.Millisecond

// tenure is a subtask's view of the lease, if there is one.
type tenure struct {
	*Lease
	looked time.Time
}

// over reports whether the subtask is to stand still, at now by Go's clock.
func (t *tenure) over(now time.Time) bool {
	if t.Lease == nil || now.Sub(t.looked) < lookEvery {
		return false
	}
	t.looked = now
	return t.Lease.over()
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
