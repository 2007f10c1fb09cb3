package state

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// BroadcastState is a map that is the same in every subtask, because each changes it by the same
// records: those of the broadcast input, and no others. It is kept in memory.
type BroadcastState[M comparable, V any] struct {
	name     string
	keys     Keys[M]
	table    *Table[M, V]
	codec    *record.Codec[Entry[M, V]]
	writable func() bool
}

// OpenBroadcast returns the state of that name with what was restored of it. It may be changed while writable
// says so.
func OpenBroadcast[M comparable, V any](name string, subtask int, restored []Restored, writable func() bool) (*BroadcastState[M, V], error) {
	keys, err := KeysOf[M](1, 0, 1) // all of them are here
	if err != nil {
		return nil, err
	}
	b := &BroadcastState[M, V]{name: name, keys: keys, writable: writable}
	if b.codec, err = record.CodecOf[Entry[M, V]](); err != nil {
		return nil, err
	}
	pieces := slices.DeleteFunc(Named(restored, name), func(r Restored) bool { return r.Handle.Kind != job.BroadcastState })
	if len(pieces) > 0 { // all say the same; each is read by someone
		i := subtask % len(pieces)
		pieces = pieces[i : i+1]
	}
	b.table, err = TableOf[M, V](&b.keys, pieces)
	return b, err
}

// Get returns the value of m, and whether there is one.
func (b *BroadcastState[M, V]) Get(m M) (value V, ok bool) {
	if e := b.table.Find(b.keys.Hash(m), m); e != nil {
		return e.Value, true
	}
	return value, false
}

// Set sets the value of m. It is for records of the broadcast input.
func (b *BroadcastState[M, V]) Set(m M, value V) {
	b.mayChange()
	hash := b.keys.Hash(m)
	e := b.table.Find(hash, m)
	if e == nil {
		e = b.table.Insert(hash, b.keys.Clone(m))
	}
	e.Value = value
}

// Delete removes the value of m. It is for records of the broadcast input.
func (b *BroadcastState[M, V]) Delete(m M) {
	b.mayChange()
	b.table.Remove(b.keys.Hash(m), m)
}

// All returns what is in the map, in no order. It is not to be changed while it is walked through.
func (b *BroadcastState[M, V]) All() iter.Seq2[M, V] {
	return func(yield func(M, V) bool) {
		for e := range b.table.All() {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// Len returns how many values there are.
func (b *BroadcastState[M, V]) Len() int { return b.table.Len() }

var errOnlyBroadcast = errors.New("it is changed by records of the broadcast input alone: by any other, subtasks would come to differ")

func (b *BroadcastState[M, V]) mayChange() {
	if !b.writable() {
		panic(Failure{fmt.Errorf("broadcast state %q: %w", b.name, errOnlyBroadcast)})
	}
}

// Type describes the state.
func (b *BroadcastState[M, V]) Type() job.StateType {
	return TypeOf[Entry[M, V]](b.name, job.BroadcastState)
}

// Snapshot returns the map as it is now.
func (b *BroadcastState[M, V]) Snapshot() Snapshot {
	return b.table.Snapshot(HandleOf(b.name, job.BroadcastState, b.codec), b.codec)
}
