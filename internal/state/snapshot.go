package state

import (
	"bytes"
	"io"
	"slices"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// Snapshot is a state at one moment: Data if it is small, else ready to be written. Whoever
// receives it calls Write, or Store, once, from any one goroutine, while the operator goes on.
type Snapshot struct {
	Handle job.StateHandle // what the state is; where it is, is to be filled in
	Data   []byte
	Write  func(io.Writer) error // nil: it is Data
	// Store, if it is not nil, writes a snapshot of several pieces, and returns the handles of all of
	// them: those that it put, and those of the base that are as they were.
	Store func(Pieces) ([]job.StateHandle, error)
}

// Pieces is where a snapshot of several pieces is stored.
type Pieces interface {
	// Checkpoint is the one that the snapshot belongs to.
	Checkpoint() job.CheckpointID
	// Base is the completed checkpoint whose pieces, of the same operator and subtask, may be named
	// again; 0: none (R13). It waits until the trigger has told it, and fails if the checkpoint is given up.
	Base() (job.CheckpointID, error)
	// Put stores what write produces, which may be called twice, and returns h with where it is. It fails if
	// the checkpoint is given up.
	Put(h job.StateHandle, write func(io.Writer) error) (job.StateHandle, error)
}

// Restored is a piece of state that one subtask of an earlier attempt wrote.
type Restored struct {
	Handle  job.StateHandle
	Subtask int // its index, of what was then the parallelism
	Data    []byte
	// Open, if it is not nil, reads what would be Data as it is needed. The reader fails before its end
	// when what it has read is not what was written.
	Open func() (io.ReadCloser, error)
}

// Reader reads the piece from its beginning.
func (r Restored) Reader() (io.ReadCloser, error) {
	if r.Open != nil {
		return r.Open()
	}
	return io.NopCloser(bytes.NewReader(r.Data)), nil
}

// Named returns the pieces of the state of that name.
func Named(pieces []Restored, name string) []Restored {
	var named []Restored
	for _, p := range pieces {
		if p.Handle.State == name {
			named = append(named, p)
		}
	}
	return named
}

// HandleOf says what a state is whose entries are of type T.
func HandleOf[T any](name string, kind job.StateKind, codec *record.Codec[T]) job.StateHandle {
	return job.StateHandle{State: name, Kind: kind, Schema: codec.Schema()}
}

// sharing is what a table has in common with the snapshots that are being written. Entries below
// the number that a snapshot has are not changed in a chunk that it shares: the table gets a
// copy of the chunk first, and the snapshot keeps the old one. What values refer to is copied for
// each entry when it is first touched.
type sharing[V any] struct {
	shared   []bool        // by chunk; nil: no snapshot is being written
	borrowed []bits        // by chunk: values that refer to what a snapshot's refer to; nil: none
	writers  *atomic.Int32 // snapshots that are being written
	clone    func(V) V     // nil: values refer to nothing
}

// own returns the entry in slot, of which no snapshot shares anything. It is called while shared is set.
func (t *Table[K, V]) own(slot int) *Entry[K, V] {
	i := slot >> chunkBits
	switch {
	case i >= len(t.shared):
		return t.at(slot)
	case t.writers.Load() == 0:
		t.shared, t.borrowed = nil, nil
		return t.at(slot)
	case t.shared[i]:
		t.shared[i] = false
		t.chunks[i] = slices.Clone(t.chunks[i])
		if t.clone != nil {
			t.borrowed[i] = allBits()
		}
	}
	e := t.at(slot)
	if b := t.borrowed[i]; b != nil && b.has(slot&(chunkSize-1)) {
		b.unset(slot & (chunkSize - 1))
		e.Value = t.clone(e.Value)
	}
	return e
}

// frozen is the content of a table at one moment.
type frozen[K comparable, V any] struct {
	chunks  [][]Entry[K, V]
	alive   []bits
	n       int
	writers *atomic.Int32
}

// freeze returns the content as it is now, to be written once, by another goroutine.
func (t *Table[K, V]) freeze() *frozen[K, V] {
	if t.writers == nil {
		t.writers = new(atomic.Int32)
	}
	t.writers.Add(1)
	t.shared = slices.Repeat([]bool{true}, len(t.chunks))
	t.borrowed = make([]bits, len(t.chunks))
	f := &frozen[K, V]{chunks: slices.Clone(t.chunks), n: t.n, writers: t.writers}
	for _, b := range t.alive {
		f.alive = append(f.alive, slices.Clone(b))
	}
	return f
}

func (f *frozen[K, V]) write(to io.Writer, codec *record.Codec[Entry[K, V]]) error {
	defer f.writers.Add(-1)
	out, err := NewFrames(to, codec)
	if err != nil {
		return err
	}
	for i, c := range f.chunks {
		if err := f.writeChunk(out, i, c[:min(chunkSize, f.n-i<<chunkBits)]); err != nil {
			return err
		}
	}
	return out.End()
}

// writeChunk writes runs of entries that are there.
func (f *frozen[K, V]) writeChunk(out *Frames[Entry[K, V]], chunk int, entries []Entry[K, V]) error {
	if f.alive == nil {
		return out.Write(entries)
	}
	alive := f.alive[chunk]
	for i := 0; i < len(entries); i++ {
		begin := i
		for i < len(entries) && alive.has(i) {
			i++
		}
		if err := out.Write(entries[begin:i]); err != nil {
			return err
		}
	}
	return nil
}

// Snapshot returns the entries as they are now, without copying any.
func (t *Table[K, V]) Snapshot(handle job.StateHandle, codec *record.Codec[Entry[K, V]]) Snapshot {
	f := t.freeze()
	return Snapshot{Handle: handle, Write: func(to io.Writer) error { return f.write(to, codec) }}
}
