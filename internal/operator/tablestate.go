package operator

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// sharing is what a table has in common with the snapshots that are being written. Entries below
// the number that a snapshot has are not changed in a chunk that it shares: the table gets a
// copy of the chunk first, and the snapshot keeps the old one.
type sharing[A any] struct {
	shared  []bool        // by chunk; nil: no snapshot is being written
	writers *atomic.Int32 // snapshots that are being written
	clone   func(A) A     // nil: accumulators refer to nothing
}

// own returns the entry in slot, in a chunk that no snapshot shares.
func (t *table[K, A]) own(slot int) *entry[K, A] {
	i := slot >> chunkBits
	switch {
	case i >= len(t.shared):
	case t.writers.Load() == 0:
		t.shared = nil
	case t.shared[i]:
		t.shared[i] = false
		t.chunks[i] = t.copied(i)
	}
	return t.at(slot)
}

func (t *table[K, A]) copied(chunk int) []entry[K, A] {
	c := slices.Clone(t.chunks[chunk])
	if t.clone != nil {
		for i := range min(len(c), t.n-chunk<<chunkBits) {
			c[i].acc = t.clone(c[i].acc)
		}
	}
	return c
}

// frozen is the content of a table at one moment.
type frozen[K comparable, A any] struct {
	chunks  [][]entry[K, A]
	n       int
	writers *atomic.Int32
}

// freeze returns the content as it is now, to be written once, by another goroutine.
func (t *table[K, A]) freeze() *frozen[K, A] {
	if t.writers == nil {
		t.writers = new(atomic.Int32)
	}
	t.writers.Add(1)
	t.shared = slices.Repeat([]bool{true}, len(t.chunks))
	return &frozen[K, A]{chunks: slices.Clone(t.chunks), n: t.n, writers: t.writers}
}

func (f *frozen[K, A]) write(to io.Writer, codec *record.Codec[entry[K, A]]) error {
	defer f.writers.Add(-1)
	out, err := newFrames(to, codec)
	if err != nil {
		return err
	}
	for i, c := range f.chunks {
		if err := out.write(c[:min(chunkSize, f.n-i<<chunkBits)]); err != nil {
			return err
		}
	}
	return out.end()
}

// compile sets what depends on the types of key and accumulator.
func (a *aggregate[K, T, A, R]) compile() (err error) {
	if a.codec, err = record.CodecOf[entry[K, A]](); err != nil {
		return err
	}
	acc, err := record.CodecOf[A]()
	if err != nil {
		return err
	}
	if acc.HasPointers() {
		a.clone = acc.Clone
	}
	return nil
}

// Snapshot returns the accumulators as they are now, without copying any.
func (a *aggregate[K, T, A, R]) Snapshot() ([]Snapshot, error) {
	f, codec := a.table.freeze(), a.codec
	return []Snapshot{{
		Handle: handleOf(accumulators, job.ValueState, codec),
		Write:  func(to io.Writer) error { return f.write(to, codec) },
	}}, nil
}

// accumulators is the name of the state of a Reduce or an Aggregate.
const accumulators = "accumulators"

// restore takes those entries whose keys belong to this subtask, whichever had them before.
func (a *aggregate[K, T, A, R]) restore() error {
	states := a.w.Restored(a.name, accumulators)
	if len(states) == 0 {
		return nil
	}
	ctx := a.w.Context(a.name)
	for _, state := range states {
		from, err := a.codec.FromEntry(state.Handle.Schema)
		if err == nil {
			err = readFrames(state.Data, from, func(entries []entry[K, A]) error {
				return a.admit(entries, ctx.Subtask(), ctx.Parallelism())
			})
		}
		if err != nil {
			return fmt.Errorf("the state of operator %q, written by its subtask %d: %w", a.name, state.Subtask, err)
		}
	}
	return nil
}

func (a *aggregate[K, T, A, R]) admit(entries []entry[K, A], subtask, parallelism int) error {
	for i := range entries {
		e := &entries[i]
		if record.Owner(record.KeyGroup(a.Sent(e.key), a.Groups), a.Groups, parallelism) != subtask {
			continue
		}
		hash := a.hashOf(e.key)
		if a.table.find(hash, e.key) != nil {
			return fmt.Errorf("%w: the key %v comes twice", errMalformedState, e.key)
		}
		acc := e.acc
		if a.clone != nil {
			acc = a.clone(acc) // it would keep the whole frame's memory
		}
		a.table.insert(hash, a.Clone(e.key)).acc = acc
	}
	return nil
}
