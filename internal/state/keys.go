package state

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// Keys says which keys one subtask has, and how a table finds them.
type Keys[K comparable] struct {
	Sent        func(K) uint64 // the hash by which records were sent to the subtask
	Hash        func(K) uint64 // the hash by which a table finds them
	Clone       func(K) K      // a key of its own memory, to be kept
	Groups      int            // the key groups of the job
	Subtask     int
	Parallelism int
}

// KeysOf returns the keys of a subtask. It fails if K cannot be encoded.
func KeysOf[K comparable](groups, subtask, parallelism int) (Keys[K], error) {
	sent, err := record.HasherOf[K]()
	if err != nil {
		return Keys[K]{}, err
	}
	codec, err := record.CodecOf[K]()
	if err != nil {
		return Keys[K]{}, err
	}
	return Keys[K]{
		Sent: sent, Hash: TableHash(sent), Clone: codec.Clone,
		Groups: groups, Subtask: subtask, Parallelism: parallelism,
	}, nil
}

// Own reports whether the key belongs to the subtask.
func (k *Keys[K]) Own(key K) bool {
	return record.Owner(record.KeyGroup(k.Sent(key), k.Groups), k.Groups, k.Parallelism) == k.Subtask
}

// cloner returns what copies a value that refers to other memory; nil if none does.
func cloner[V any]() (func(V) V, error) {
	codec, err := record.CodecOf[V]()
	if err != nil || !codec.HasPointers() {
		return nil, err
	}
	return codec.Clone, nil
}

// TableOf returns a table with those entries of the pieces whose keys belong to the subtask, whichever
// had them before.
func TableOf[K comparable, V any](keys *Keys[K], pieces []Restored) (*Table[K, V], error) {
	clone, err := cloner[V]()
	if err != nil {
		return nil, err
	}
	t := NewTable[K](clone)
	err = readEntries(keys, pieces, func(e *Entry[K, V]) error {
		hash := keys.Hash(e.Key)
		if t.Find(hash, e.Key) != nil {
			return fmt.Errorf("%w: the key %v comes twice", ErrMalformed, e.Key)
		}
		value := e.Value
		if clone != nil {
			value = clone(value) // it would keep the whole frame's memory
		}
		t.Insert(hash, keys.Clone(e.Key)).Value = value
		return nil
	})
	return t, err
}

// readEntries calls each with the entries of the pieces whose keys belong to the subtask.
func readEntries[K comparable, V any](keys *Keys[K], pieces []Restored, each func(*Entry[K, V]) error) error {
	codec, err := record.CodecOf[Entry[K, V]]()
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		from, err := codec.FromEntry(piece.Handle.Schema)
		if err == nil {
			err = Read(piece.Data, from, func(entries []Entry[K, V]) error { return pick(keys, entries, each) })
		}
		if err != nil {
			return fmt.Errorf("state %q, written by subtask %d: %w", piece.Handle.State, piece.Subtask, err)
		}
	}
	return nil
}

func pick[K comparable, V any](keys *Keys[K], entries []Entry[K, V], each func(*Entry[K, V]) error) error {
	for i := range entries {
		if !keys.Own(entries[i].Key) {
			continue
		}
		if err := each(&entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// TypeOf describes a state whose entries are of type T. Whoever keeps one of a type without a codec
// fails when it is opened.
func TypeOf[T any](name string, kind job.StateKind) job.StateType {
	t := job.StateType{Name: name, Kind: kind}
	if codec, err := record.CodecOf[T](); err == nil {
		t.Schema = codec.Schema()
	}
	return t
}
