package operator

import (
	"sync"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// tallies is the part of a Wiring that tells what each operator has done. Records are counted by the
// batch.
type tallies struct {
	names   *MetricNames
	refused atomic.Pointer[error] // why a metric could not be made

	mu        sync.Mutex
	operators map[string]*tally
}

// tally is of one operator: the subtask's goroutine adds, anyone reads.
type tally struct {
	in, out, skipped atomic.Uint64
	metrics          metrics // of its user function
}

// count returns the tally of an operator, from its first mention on.
func (t *tallies) count(operator string) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.operators == nil {
		t.operators = make(map[string]*tally)
	}
	n := t.operators[operator]
	if n == nil {
		n = &tally{metrics: metrics{operator: operator, names: t.names, refused: &t.refused}}
		t.operators[operator] = n
	}
	return n
}

// Operators returns what each operator of the subtask has done so far. Any goroutine may call it.
func (t *tallies) Operators() map[string]job.OperatorCounters {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]job.OperatorCounters, len(t.operators))
	for name, n := range t.operators {
		all[name] = job.OperatorCounters{In: n.in.Load(), Out: n.out.Load(), Skipped: n.skipped.Load(), Metrics: n.metrics.read()}
	}
	return all
}

// emitted counts what an operator hands on.
type emitted[T any] struct {
	n   *atomic.Uint64
	out Receiver[T]
}

func (e *emitted[T]) Batch(records []T) error {
	e.n.Add(uint64(len(records)))
	return e.out.Batch(records)
}

func (e *emitted[T]) Event(ev record.Event) error { return e.out.Event(ev) }
func (e *emitted[T]) End() error                  { return e.out.End() }
