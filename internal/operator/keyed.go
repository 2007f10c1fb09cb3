package operator

import "github.com/perennial-io/perennial/internal/record"

// Keyed is what a keyed step needs to know, beside its output.
type Keyed[K comparable, T, A, R any] struct {
	Key    func(T) K
	Sent   func(K) uint64             // the hash by which records were sent here
	Groups int                        // the key groups of the job, which it chooses from
	Clone  func(K) K                  // a key of its own memory, to be kept
	First  func(acc *A, rec T)        // the first record of a key; acc is zero. nil: Add
	Add    func(acc *A, rec T)        // every other
	Result func(key K, acc A) (out R) // what is emitted
	Each   bool                       // emit after each record, not once per key at the end
}

// Aggregate returns the step of the named operator that keeps one accumulator per key, in memory,
// beginning with those that w restores. It fails if a key or an accumulator has no codec.
func Aggregate[K comparable, T, A, R any](w *Wiring, name string, k Keyed[K, T, A, R], out Receiver[R]) (Receiver[T], error) {
	if k.First == nil {
		k.First = k.Add
	}
	a := &aggregate[K, T, A, R]{
		Keyed: k, w: w, name: name, hashOf: TableHash(k.Sent), out: out, buf: make([]R, 0, record.BatchSize[R]()),
	}
	if err := a.compile(); err != nil {
		return nil, err
	}
	a.table = newTable[K](a.clone)
	if err := a.restore(); err != nil {
		return nil, err
	}
	w.Remember(name, a)
	return a, nil
}

type aggregate[K comparable, T, A, R any] struct {
	Keyed[K, T, A, R]
	w      *Wiring
	name   string
	hashOf func(K) uint64 // by which the table finds a key
	table  *table[K, A]
	out    Receiver[R]
	buf    []R

	codec *record.Codec[entry[K, A]]
	clone func(A) A // nil: an accumulator refers to nothing

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
		a.keys[i], a.hashes[i] = k, a.hashOf(k)
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
			e := a.table.at(slot)
			if a.clone != nil {
				e = a.table.own(slot) // Result may change what acc refers to
			}
			if err := a.emit(e); err != nil {
				return err
			}
		}
		if err := a.handOn(); err != nil {
			return err
		}
	}
	// What was emitted belongs to the past: a checkpoint that comes from now on must not emit it again.
	a.table = newTable[K](a.clone)
	return a.out.End()
}
