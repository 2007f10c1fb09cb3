package operator

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// NoWatermark is the watermark of a stream that has had none.
const NoWatermark = math.MinInt64

// events is what a Receiver does with what is no batch.
type events interface {
	Event(e record.Event) error
	End() error
}

// gateDriver moves items from the gates of a vertex, one for each of its inputs, into its chain. Batches go
// where their input's step is; events, which concern all inputs, to the first input's.
type gateDriver struct {
	w     *Wiring
	ports []Port
	turn  int // of ports, which is asked first
	open  int // channels, of all ports, that have not ended
	chain events

	alignment
	times
}

// alignment is a checkpoint whose barrier has come on some channels and not yet on all of them.
// What follows the barrier is held back until it has. An item that is held back keeps its
// credit, so what can wait here is bounded.
type alignment struct {
	aligning job.CheckpointID // 0: none
	came     []bool           // by channel: aligning's barrier has come
	missing  int              // open channels on which it has not
}

// times are the watermarks of the channels. One that is idle does not count, unless all are: then the highest does,
// in whatever order they fell silent (docs/decisions/0008-idle-sources.md).
type times struct {
	marks []int64 // by channel; of one that has ended, the highest that there is
	mark  int64   // the lowest of those that count, when it was last handed on
	idle  []bool  // by channel; never of one that has ended
	idles int     // how many are
	past  int64   // the highest watermark of those that have ended
	told  bool    // those behind were told, last, that all are
}

// newGateDriver returns the driver of the ports, which have so many channels.
func newGateDriver(w *Wiring, ports []Port, channels int) *gateDriver {
	d := &gateDriver{
		w: w, ports: ports, open: channels, chain: ports[0].events(),
		alignment: alignment{came: make([]bool, channels)},
		times:     times{marks: make([]int64, channels), mark: NoWatermark, past: NoWatermark, idle: make([]bool, channels)},
	}
	for i := range d.marks {
		d.marks[i] = NoWatermark
	}
	for _, p := range ports {
		p.drive(d)
	}
	return d
}

func (d *gateDriver) Step() (Outcome, error) {
	for range d.ports {
		p := d.ports[d.turn]
		if d.turn++; d.turn == len(d.ports) {
			d.turn = 0
		}
		worked, err := p.step()
		switch {
		case err != nil:
			return Worked, err
		case worked && d.open == 0:
			return Done, d.chain.End()
		case worked:
			return Worked, nil
		}
	}
	return Waiting, nil
}

// event takes note of what came on a channel.
func (d *gateDriver) event(e record.Event, channel int) error {
	switch e.Kind {
	case record.Watermark:
		return d.watermark(e.Value, channel)
	case record.Idle, record.Active:
		return d.quiet(channel, e.Kind == record.Idle)
	case record.Barrier, record.StopBarrier:
		d.w.heard(e)
		return d.barrier(job.CheckpointID(e.Value), channel)
	case record.End:
		return d.end(channel)
	default: // no producer of this version sends one
		return fmt.Errorf("unexpected %v on channel %d", e, channel)
	}
}

// watermark takes note of a channel's watermark, and hands the lowest of all on when it has risen.
func (d *gateDriver) watermark(at int64, channel int) error {
	if at <= d.marks[channel] {
		return nil
	}
	holds := d.marks[channel] <= d.mark // or is behind: it was idle
	d.marks[channel] = at
	if !holds {
		return nil
	}
	return d.raise()
}

// raise hands on the watermark, if it has risen.
func (d *gateDriver) raise() error {
	least, most := int64(math.MaxInt64), d.past
	for i, m := range d.marks {
		if d.idle[i] {
			most = max(most, m)
		} else {
			least = min(least, m)
		}
	}
	if d.allIdle() {
		least = most
	}
	if least <= d.mark || least == math.MaxInt64 { // all have ended: the end says more
		return nil
	}
	d.mark = least
	return d.chain.Event(record.Event{Kind: record.Watermark, Value: least})
}

func (d *gateDriver) allIdle() bool { return d.open > 0 && d.idles == d.open }

// quiet takes note of a channel that has become idle, or is so no more.
func (d *gateDriver) quiet(channel int, idle bool) error {
	if d.idle[channel] == idle {
		return nil
	}
	d.idle[channel] = idle
	if idle {
		d.idles++
	} else {
		d.idles--
	}
	return d.tell()
}

// tell tells those behind what follows from another set of channels that count.
func (d *gateDriver) tell() error {
	if err := d.raise(); err != nil || d.allIdle() == d.told {
		return err
	}
	d.told = !d.told
	e := record.Event{Kind: record.Active}
	if d.told {
		e.Kind = record.Idle
	}
	return d.chain.Event(e)
}

// barrier takes note of a barrier. One that is older than what was taken, or than what is being
// aligned, belongs to a checkpoint that was given up.
func (d *gateDriver) barrier(id job.CheckpointID, channel int) error {
	if id <= d.w.Taken() || id < d.aligning {
		return nil
	}
	if id > d.aligning {
		d.letGo()
		clear(d.came)
		d.aligning, d.missing = id, d.open
		d.w.holdBack(true)
	}
	d.came[channel] = true
	d.missing--
	return d.completeIfAligned()
}

// end takes note of a channel's end. Nothing of it can be missing from a checkpoint.
func (d *gateDriver) end(channel int) error {
	d.open--
	d.past = max(d.past, d.marks[channel])
	d.marks[channel] = math.MaxInt64
	if d.idle[channel] {
		d.idle[channel] = false
		d.idles--
	}
	if d.open > 0 {
		if err := d.tell(); err != nil {
			return err
		}
	} else if d.past > d.mark { // the end says more, but not to those for whom others go on
		d.mark = d.past
		if err := d.chain.Event(record.Event{Kind: record.Watermark, Value: d.past}); err != nil {
			return err
		}
	}
	if d.aligning == 0 {
		return nil
	}
	d.missing--
	return d.completeIfAligned()
}

func (d *gateDriver) completeIfAligned() error {
	if d.missing > 0 {
		return nil
	}
	id := d.aligning
	d.letGo()
	return d.w.Checkpoint(id, d.chain.Event)
}

// letGo ends the alignment.
func (d *gateDriver) letGo() {
	d.aligning = 0
	d.w.holdBack(false)
	for _, p := range d.ports {
		p.letGo()
	}
}

func (d *gateDriver) Wait(ctx context.Context, wake <-chan time.Time) {
	if len(d.ports) == 1 {
		d.ports[0].wait(ctx, wake)
		return
	}
	cases := []reflect.SelectCase{receive(ctx.Done()), receive(wake), receive(d.w.Wake())}
	for _, p := range d.ports {
		if p.ready() {
			return
		}
		cases = append(cases, receive(p.items()))
	}
	if chosen, item, ok := reflect.Select(cases); ok && chosen >= 3 {
		d.ports[chosen-3].put(item.Interface())
	}
}

func (d *gateDriver) WakeAt() time.Time { return time.Time{} }
func (d *gateDriver) Close() error      { return nil }

// Port is one input of a vertex: a gate, and the step to which its batches go. Carrier.Port makes it.
type Port interface {
	// drive makes it a port of d.
	drive(d *gateDriver)
	// step handles an item, if there is one.
	step() (worked bool, err error)
	// ready reports whether step has an item at once.
	ready() bool
	wait(ctx context.Context, wake <-chan time.Time)
	// items is the channel of the gate, and put takes an item of it that step has not seen.
	items() any
	put(item any)
	// letGo lets what is held back go on.
	letGo()
	events() events
}

// port is the Port of records of type T.
type port[T any] struct {
	d     *gateDriver
	first int // the number, among the vertex's channels, of the gate's first
	gate  *shuffle.Gate[T]
	chain Receiver[T]

	item  shuffle.Item[T]   // the one in hand
	has   bool              // wait took it, and step has not seen it
	held  []shuffle.Item[T] // by the alignment, in the order in which they came
	again []shuffle.Item[T] // were held back and may go on, before newer ones
}

func (p *port[T]) drive(d *gateDriver) { p.d = d }
func (p *port[T]) events() events      { return p.chain }
func (p *port[T]) items() any          { return p.gate.Items() }
func (p *port[T]) put(item any)        { p.item, p.has = item.(shuffle.Item[T]), true }
func (p *port[T]) ready() bool         { return p.has || len(p.again) > 0 }

func (p *port[T]) step() (worked bool, err error) {
	switch {
	case len(p.again) > 0: // all that the gate has came later
		it := p.again[0]
		p.again[0] = shuffle.Item[T]{}
		p.again = p.again[1:]
		return true, p.handle(&it)
	case !p.has:
		select {
		case p.item = <-p.gate.Items():
		default:
			return false, nil
		}
	}
	p.has = false
	return true, p.handle(&p.item)
}

func (p *port[T]) handle(it *shuffle.Item[T]) error {
	d, channel := p.d, p.first+it.Channel()
	if d.aligning != 0 && d.came[channel] {
		p.held = append(p.held, *it)
		return nil
	}
	if e := it.Event(); e.Kind != record.NoEvent {
		it.Release()
		return d.event(e, channel)
	}
	records, err := it.Records()
	if err != nil {
		return fmt.Errorf("channel %d: %w", channel, err)
	}
	d.w.In.Add(uint64(len(records)))
	if err := p.chain.Batch(records); err != nil {
		return err
	}
	it.Release()
	return nil
}

// letGo puts what is held back before what had gone on and was not reached, which came on the same
// channels later.
func (p *port[T]) letGo() {
	if len(p.held) > 0 {
		p.again = append(p.held, p.again...)
		p.held = nil
	}
}

func (p *port[T]) wait(ctx context.Context, wake <-chan time.Time) {
	if p.ready() {
		return
	}
	select {
	case p.item = <-p.gate.Items():
		p.has = true
	case <-wake:
	case <-p.d.w.Wake(): // timers that a stop had silenced may go on
	case <-ctx.Done():
	}
}
