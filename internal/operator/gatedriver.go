package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

func (c carrier[T]) Drive(w *Wiring, gate, chain any) Driver {
	return &gateDriver[T]{w: w, gate: gate.(*shuffle.Gate[T]), open: w.channels, chain: chain.(Receiver[T])}
}

// gateDriver moves items from a gate into a chain.
type gateDriver[T any] struct {
	w     *Wiring
	gate  *shuffle.Gate[T]
	open  int // channels that have not ended
	chain Receiver[T]

	item shuffle.Item[T] // the one in hand
	has  bool            // Wait took it, and Step has not seen it
}

func (d *gateDriver[T]) Step() (Outcome, error) {
	if !d.has {
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
	case record.End:
		it.Release()
		if d.open--; d.open > 0 {
			return Worked, nil
		}
		return Done, d.chain.End()
	default: // no producer of this version sends one
		return Worked, fmt.Errorf("unexpected %v on channel %d", e, it.Channel())
	}
}

func (d *gateDriver[T]) Wait(ctx context.Context, wake <-chan time.Time) {
	select {
	case d.item = <-d.gate.Items():
		d.has = true
	case <-wake:
	case <-ctx.Done():
	}
}

func (d *gateDriver[T]) WakeAt() time.Time { return time.Time{} }
func (d *gateDriver[T]) Close() error      { return nil }
