package operator

import (
	"bytes"
	"context"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// Discover emits splits as they come to be, and goes on from where it was; nil: from the beginning.
type Discover[S any] func(ctx context.Context, from []byte, emit func(splits []S, state []byte) error) error

// NewDiscovery returns the driver that runs discover and hands on the splits that it emits, each to a reader that has
// time for it. What is emitted together is handed on together, and the state that comes with it is what discover is
// given after a failure that follows. Its ctx ends when the driver is closed.
func NewDiscovery[S any](w *Wiring, name string, discover Discover[S], out Receiver[S]) Driver {
	d := &discovery[S]{w: w, out: out}
	if d.codec, d.err = record.CodecOf[discovered](); d.err == nil {
		d.done, d.err = lastOf(name, w.Restored(name, sourceState), d.codec)
	}
	w.Remember(name, d)
	begin := bytes.Clone(d.done.State)
	emits := func(ctx context.Context, emit func(found[S])) error {
		return discover(ctx, begin, func(splits []S, state []byte) error { emit(found[S]{splits, state}); return nil })
	}
	return &lister[found[S]]{w: w, name: name, emits: emits, listed: d, out: out}
}

// discovery is listed by a function that remembers what it has found.
type discovery[S any] struct {
	w     *Wiring
	out   Receiver[S]
	codec *record.Codec[discovered]
	err   error // of what was restored
	done  discovered
}

// found is what was emitted together.
type found[S any] struct {
	splits []S
	state  []byte
}

// discovered is how far a discovery has come.
type discovered struct {
	State []byte
	Ended bool // there is nothing more to be found
}

func (d *discovery[S]) unusable() error { return d.err }

func (d *discovery[S]) over() bool { return d.done.Ended }

func (d *discovery[S]) end() error {
	d.done.Ended = true
	return nil
}

func (d *discovery[S]) take(f found[S]) error {
	if err := handOn(d.w, d.out, f.splits...); err != nil {
		return err
	}
	d.done.State = f.state
	return nil
}

// Snapshot returns the state that came with what was handed on last.
func (d *discovery[S]) Snapshot() ([]Snapshot, error) {
	one, err := state.Small(sourceState, job.PositionState, d.codec, []discovered{d.done})
	return []state.Snapshot{one}, err
}
