package state

import (
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// Timers are moments at which the operator wants to hear of a key, at most one per key and moment. They
// are kept in memory, whatever the store's backend is.
type Timers[K comparable] struct {
	cells *cells[K, []int64] // the moments of each key, in no order
	queue queue[K]           // may have more: what was deleted stays in it for a while
	set   int                // how many there are
}

// OpenTimers opens the timers of that name of the store.
func OpenTimers[K comparable](s *Store[K], name string) (*Timers[K], error) {
	pieces, err := s.open(name, job.TimersState)
	if err != nil {
		return nil, err
	}
	t := &Timers[K]{}
	if t.cells, err = newCells[K, []int64](s, name, job.TimersState, pieces); err != nil {
		return nil, err
	}
	for e := range t.cells.table.All() {
		for _, at := range e.Value {
			t.queue.push(moment[K]{at, e.Key})
			t.set++
		}
	}
	return t, nil
}

// Set sets a timer for the key that is set.
func (t *Timers[K]) Set(at int64) {
	e := t.cells.make()
	if slices.Contains(e.Value, at) {
		return
	}
	e.Value = append(e.Value, at)
	t.queue.push(moment[K]{at, e.Key})
	t.set++
}

// Delete deletes a timer of the key that is set, if there is one.
func (t *Timers[K]) Delete(at int64) {
	if t.take(at) && len(t.queue) > 2*t.set+1024 {
		t.compact()
	}
}

// compact rids the queue of timers that were deleted.
func (t *Timers[K]) compact() {
	clear(t.queue)
	t.queue = t.queue[:0]
	for slot := range t.cells.table.n {
		e := t.cells.table.peek(slot)
		if e == nil {
			continue
		}
		for _, at := range e.Value {
			t.queue.push(moment[K]{at, e.Key})
		}
	}
}

// DropAll deletes all timers of all keys.
func (t *Timers[K]) DropAll() {
	c := t.cells
	c.table, c.entry = NewTable[K](c.table.clone), nil
	c.store.turn++
	t.queue, t.set = nil, 0
}

// take deletes a timer of the key that is set, and reports whether there was one.
func (t *Timers[K]) take(at int64) bool {
	e := t.cells.find()
	if e == nil {
		return false
	}
	i := slices.Index(e.Value, at)
	if i < 0 {
		return false
	}
	t.set--
	if len(e.Value) == 1 {
		t.cells.remove()
		return true
	}
	last := len(e.Value) - 1
	e.Value[i] = e.Value[last]
	e.Value = e.Value[:last]
	return true
}

// Next returns when the next timer is due; false: there is none.
func (t *Timers[K]) Next() (at int64, ok bool) {
	if len(t.queue) == 0 {
		return 0, false
	}
	return t.queue[0].at, true
}

// Pop takes out the earliest timer that is due at now, and makes its key the one that is set.
func (t *Timers[K]) Pop(now int64) (at int64, ok bool) {
	for len(t.queue) > 0 && t.queue[0].at <= now {
		m := t.queue.pop()
		t.cells.store.SetKey(m.key)
		if t.take(m.at) {
			return m.at, true
		}
	}
	return 0, false
}

// moment is a timer in the queue.
type moment[K comparable] struct {
	at  int64
	key K
}

// queue is a binary heap, by time.
type queue[K comparable] []moment[K]

func (q *queue[K]) push(m moment[K]) {
	*q = append(*q, m)
	h := *q
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if h[parent].at <= h[i].at {
			return
		}
		h[parent], h[i] = h[i], h[parent]
		i = parent
	}
}

func (q *queue[K]) pop() moment[K] {
	h := *q
	first, last := h[0], len(h)-1
	h[0] = h[last]
	h[last] = moment[K]{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if h[child].at < h[least].at {
				least = child
			}
		}
		if least == i {
			*q = h
			return first
		}
		h[least], h[i] = h[i], h[least]
		i = least
	}
}
