package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

func (c carrier[T]) Drive(w *Wiring, gate, chain any) Driver {
	return &gateDriver[T]{
		w: w, gate: gate.(*shuffle.Gate[T]), open: w.channels, chain: chain.(Receiver[T]),
		alignment: alignment[T]{came: make([]bool, w.channels)},
	}
}

// gateDriver moves items from a gate into a chain.
type gateDriver[T any] struct {
	w     *Wiring
	gate  *shuffle.Gate[T]
	open  int // channels that have not ended
	chain Receiver[T]

	item shuffle.Item[T] // the one in hand
	has  bool            // Wait took it, and Step has not seen it

	alignment[T]
}

// alignment is a checkpoint whose barrier has come on some channels and not yet on all of them.
// What follows the barrier is held back until it has. An item that is held back keeps its
// credit, so what can wait here is bounded.
type alignment[T any] struct {
	aligning job.CheckpointID  // 0: none
	came     []bool            // by channel: aligning's barrier has come
	missing  int               // open channels on which it has not
	held     []shuffle.Item[T] // in the order in which they came
	again    []shuffle.Item[T] // were held back and may go on, before newer ones
}

func (d *gateDriver[T]) Step() (Outcome, error) {
	switch {
	case len(d.again) > 0: // all that the gate has came later
		it := d.again[0]
		d.again[0] = shuffle.Item[T]{}
		d.again = d.again[1:]
		return d.handle(&it)
	case !d.has:
		select {
		case d.item = <-d.gate.Items():
		default:
			return Waiting, nil
		}
	}
	d.has = false
	return d.handle(&d.item)
}

func (d *gateDriver[T]) handle(it *shuffle.Item[T]) (Outcome, error) {
	if d.aligning != 0 && d.came[it.Channel()] {
		d.held = append(d.held, *it)
		return Worked, nil
	}
	switch e := it.Event(); e.Kind {
	case record.NoEvent:
		records, err := it.Records()
		if err != nil {
			return Worked, fmt.Errorf("channel %d: %w", it.Channel(), err)
		}
		d.w.In.Add(uint64(len(records)))
		if err := d.chain.Batch(records); err != nil {
			return Worked, err
		}
		it.Release()
		return Worked, nil
	case record.Barrier:
		it.Release()
		return Worked, d.barrier(job.CheckpointID(e.Value), it.Channel())
	case record.End:
		it.Release()
		return d.end()
	default: // no producer of this version sends one
		return Worked, fmt.Errorf("unexpected %v on channel %d", e, it.Channel())
	}
}

// barrier takes note of a barrier. One that is older than what was taken, or than what is being
// aligned, belongs to a checkpoint that was given up.
func (d *gateDriver[T]) barrier(id job.CheckpointID, channel int) error {
	if id <= d.w.Taken() || id < d.aligning {
		return nil
	}
	if id > d.aligning {
		d.letGo()
		clear(d.came)
		d.aligning, d.missing = id, d.open
	}
	d.came[channel] = true
	d.missing--
	return d.completeIfAligned()
}

// end takes note of a channel's end. Nothing of it can be missing from a checkpoint.
func (d *gateDriver[T]) end() (Outcome, error) {
	d.open--
	if d.aligning != 0 {
		d.missing--
		if err := d.completeIfAligned(); err != nil {
			return Worked, err
		}
	}
	if d.open > 0 {
		return Worked, nil
	}
	return Done, d.chain.End()
}

func (d *gateDriver[T]) completeIfAligned() error {
	if d.missing > 0 {
		return nil
	}
	id := d.aligning
	d.letGo()
	return d.w.Checkpoint(id, d.chain.Event)
}

// letGo ends the alignment: what is held back goes on, before what had gone on and was not
// reached, which came on the same channels later.
func (a *alignment[T]) letGo() {
	a.aligning = 0
	if len(a.held) == 0 {
		return
	}
	a.again = append(a.held, a.again...)
	a.held = nil
}

func (d *gateDriver[T]) Wait(ctx context.Context, wake <-chan time.Time) {
	if len(d.again) > 0 {
		return
	}
	select {
	case d.item = <-d.gate.Items():
		d.has = true
	case <-wake:
	case <-ctx.Done():
	}
}

func (d *gateDriver[T]) WakeAt() time.Time { return time.Time{} }
func (d *gateDriver[T]) Close() error      { return nil }
