package operator

import (
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// keeper has the accumulators of the records of a batch, by their place in it.
type keeper[K comparable, T, A any] interface {
	// look sets acc to what is kept for the key of record i, if anything is. The entry is nil where it has none yet.
	look(i int, acc *A) (e *state.Entry[K, A], found bool)
	// insert makes an entry for the key of record i.
	insert(i int) *state.Entry[K, A]
	// finish ends the batch.
	finish()
	Receiver[T] // the step, as it is where a record that fails fails the job
}

// trying is an aggregate that goes on behind a record that makes its functions fail. They work on a copy
// of the accumulator, which takes its place when all has gone well.
type trying[K comparable, T, A, R any] struct {
	s    *Survivor[T]
	a    *aggregate[K, T, A, R]
	keep keeper[K, T, A] // a, or what a is a part of

	acc           A            // of the record in hand
	through, pass func() error // bound once
}

func survivingAggregate[K comparable, T, A, R any](s *Survivor[T], a *aggregate[K, T, A, R], keep keeper[K, T, A]) Receiver[T] {
	t := &trying[K, T, A, R]{s: s, a: a, keep: keep}
	t.through, t.pass = t.tryOn, a.handOn
	return t
}

func (t *trying[K, T, A, R]) Batch(records []T) error {
	t.a.hash(records)
	if err := t.s.batch(records, t.through, t.pass); err != nil {
		return err
	}
	t.keep.finish()
	var none A
	t.acc = none // it would pin what the last one refers to
	return nil
}

// tryOn tries the records from the one in hand on, until one fails, the buffer is full, or there are no more.
func (t *trying[K, T, A, R]) tryOn() error {
	s, a := t.s, t.a
	for ; s.at < len(s.records) && len(a.buf) < cap(a.buf); s.at++ {
		var none A
		t.acc = none
		e, found := t.keep.look(s.at, &t.acc)
		if found {
			a.Add(&t.acc, s.records[s.at])
		} else {
			a.First(&t.acc, s.records[s.at])
		}
		if a.Each {
			r := a.Result(a.keys[s.at], t.acc)
			if a.unalias != nil {
				r = a.unalias(r) // the accumulator goes on changing
			}
			a.buf = append(a.buf, r)
		}
		if e == nil {
			e = t.keep.insert(s.at)
		}
		e.Value = t.acc
	}
	return nil
}

func (t *trying[K, T, A, R]) Event(e record.Event) error {
	if err := t.keep.Event(e); err != nil {
		return err
	}
	return t.s.event(e)
}

func (t *trying[K, T, A, R]) End() error {
	if err := t.keep.End(); err != nil {
		return err
	}
	return t.s.end()
}

func (a *aggregate[K, T, A, R]) look(i int, acc *A) (e *state.Entry[K, A], found bool) {
	if e = a.table.Find(a.hashes[i], a.keys[i]); e != nil {
		*acc = e.Value
	}
	return e, e != nil
}

func (a *aggregate[K, T, A, R]) insert(i int) *state.Entry[K, A] {
	return a.table.Insert(a.hashes[i], a.of.Clone(a.keys[i]))
}

func (a *storedAggregate[K, T, A, R]) look(i int, acc *A) (e *state.Entry[K, A], found bool) {
	if e, found = a.aggregate.look(i, acc); found {
		return e, true
	}
	a.store.SetHashed(a.hashes[i], a.keys[i])
	*acc, found = a.kept.Get()
	return nil, found
}

func (a *storedAggregate[K, T, A, R]) insert(i int) *state.Entry[K, A] {
	return a.table.Insert(a.hashes[i], a.keys[i]) // for no longer than the batch
}
