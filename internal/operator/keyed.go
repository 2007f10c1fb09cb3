package operator

import "github.com/perennial-io/perennial/internal/record"

// Keyed is what a keyed step needs to know, beside its output.
type Keyed[K comparable, T, A, R any] struct {
	Key    func(T) K
	Hash   func(K) uint64             // the hash by which records were sent here
	Clone  func(K) K                  // a key of its own memory, to be kept
	First  func(acc *A, rec T)        // the first record of a key; acc is zero. nil: Add
	Add    func(acc *A, rec T)        // every other
	Result func(key K, acc A) (out R) // what is emitted
	Each   bool                       // emit after each record, not once per key at the end
}

// Aggregate returns the step that keeps one accumulator per key, in memory.
func Aggregate[K comparable, T, A, R any](k Keyed[K, T, A, R], out Receiver[R]) Receiver[T] {
	if k.First == nil {
		k.First = k.Add
	}
	size := record.BatchSize[R]()
	return &aggregate[K, T, A, R]{Keyed: k, table: newTable[K, A](), out: out, buf: make([]R, 0, size)}
}

type aggregate[K comparable, T, A, R any] struct {
	Keyed[K, T, A, R]
	table *table[K, A]
	out   Receiver[R]
	buf   []R

	// Of the batch in hand. Keys are hashed in a loop of their own, so that the look-ups that
	// follow wait for memory together and not one after the other.
	keys   []K
	hashes []uint64
}

func (a *aggregate[K, T, A, R]) Batch(records []T) error {
	a.hash(records)
	for i := range records {
		e := a.table.find(a.hashes[i], a.keys[i])
		if e == nil {
			e = a.table.insert(a.hashes[i], a.Clone(a.keys[i]))
			a.First(&e.acc, records[i])
		} else {
			a.Add(&e.acc, records[i])
		}
		if a.Each {
			if err := a.emit(e); err != nil {
				return err
			}
		}
	}
	clear(a.keys) // they would pin the batch
	return a.handOn()
}

func (a *aggregate[K, T, A, R]) hash(records []T) {
	if cap(a.keys) < len(records) {
		a.keys, a.hashes = make([]K, len(records)), make([]uint64, len(records))
	}
	a.keys, a.hashes = a.keys[:len(records)], a.hashes[:len(records)]
	for i := range records {
		k := a.Key(records[i])
		a.keys[i], a.hashes[i] = k, a.Hash(k)
	}
}

func (a *aggregate[K, T, A, R]) emit(e *entry[K, A]) error {
	a.buf = append(a.buf, a.Result(e.key, e.acc))
	if len(a.buf) < cap(a.buf) {
		return nil
	}
	return a.handOn()
}

func (a *aggregate[K, T, A, R]) handOn() error {
	if len(a.buf) == 0 {
		return nil
	}
	err := a.out.Batch(a.buf)
	a.buf = a.buf[:0]
	return err
}

func (a *aggregate[K, T, A, R]) Event(e record.Event) error { return a.out.Event(e) }

// End emits one result per key, in the order in which the keys were first seen.
func (a *aggregate[K, T, A, R]) End() error {
	if !a.Each {
		for slot := range a.table.n {
			if err := a.emit(a.table.at(slot)); err != nil {
				return err
			}
		}
		if err := a.handOn(); err != nil {
			return err
		}
	}
	return a.out.End()
}
