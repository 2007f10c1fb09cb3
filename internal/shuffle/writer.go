package shuffle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

// DefaultTimeout is how old a record in a batch gets before the batch is sent although it is not full.
const DefaultTimeout = 10 * time.Millisecond

// WriterConfig is what a Writer can be told.
type WriterConfig struct {
	// Context ends the waiting of a blocked writer, which then returns its cause. Required.
	Context context.Context
	// Timeout is the age of a record at which Deadline asks for a Flush. 0: DefaultTimeout.
	Timeout time.Duration
	// Immediate sends every record at once in a batch of its own, for splits and other work
	// that should go to whoever has room.
	Immediate bool
	// Credits is the number of batches per channel, at most MaxCredits. 0: DefaultCredits, or 1
	// when Immediate is set, so that a slow consumer does not hoard work.
	Credits int
}

// Writer distributes what a subtask emits over its outputs. It is an operator's Receiver: Batch, Event and
// End may block, which is back-pressure, and fail when the context ends or a
// remote consumer refuses the channel. One goroutine uses it, but for Blocked.
type Writer[T any] struct {
	cfg   WriterConfig
	part  Partitioner[T]
	outs  []Output[T]
	size  int // records per batch
	table []uint32

	free    []chan *buffer[T] // per output; of rebalance one for all
	events  []chan *buffer[T] // per output: carriers of events
	filling []*buffer[T]      // per output, or nil; of rebalance [0] only
	groups  []uint32          // scratch, per record of a batch
	held    int               // buffers in filling; each has a record
	oldest  time.Time         // no record in filling is older

	ctx     context.Context // ends with the config's, or by the failure of an output
	cancel  context.CancelCauseFunc
	blocked atomic.Int64
}

// NewWriter returns a writer over outs, whose order is that of the consumer's subtasks.
// Forward takes one output only.
func NewWriter[T any](p Partitioner[T], outs []Output[T], cfg WriterConfig) *Writer[T] {
	if len(outs) == 0 || p.partitioning == forward && len(outs) != 1 {
		panic(fmt.Sprintf("shuffle: a writer with %d outputs", len(outs)))
	}
	w := &Writer[T]{cfg: cfg.withDefaults(), part: p, outs: outs, size: record.BatchSize[T]()}
	w.ctx, w.cancel = context.WithCancelCause(cfg.Context)
	if w.cfg.Immediate {
		w.size = 1
	}
	if p.partitioning == hash {
		w.table = owners(p.max, len(outs))
	}
	w.filling = make([]*buffer[T], len(outs))
	w.makeBuffers()
	for _, o := range outs {
		o.open(w.cfg.Credits, w.cancel)
	}
	return w
}

func (cfg WriterConfig) withDefaults() WriterConfig {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Credits == 0 {
		cfg.Credits = DefaultCredits
		if cfg.Immediate {
			cfg.Credits = 1
		}
	}
	cfg.Credits = min(max(cfg.Credits, 1), MaxCredits)
	return cfg
}

// makeBuffers makes each channel's buffers. With rebalance all call one queue their home: its order is
// the order in which consumers had room.
func (w *Writer[T]) makeBuffers() {
	homes := len(w.outs)
	if w.part.partitioning == rebalance {
		homes = 1
	}
	w.free = make([]chan *buffer[T], homes)
	w.events = make([]chan *buffer[T], len(w.outs))
	for i := range w.free {
		w.free[i] = make(chan *buffer[T], len(w.outs)/homes*w.cfg.Credits)
	}
	for range w.cfg.Credits {
		for i := range w.outs {
			home := w.free[i%homes]
			home <- newBuffer(i, home)
		}
	}
	for i := range w.events {
		w.events[i] = make(chan *buffer[T], eventCredits)
		for range eventCredits {
			w.events[i] <- newBuffer(i, w.events[i])
		}
	}
}

// Batch copies records to the outputs' buffers and sends those that are full.
func (w *Writer[T]) Batch(records []T) error {
	switch w.part.partitioning {
	case hash:
		return w.scatter(records)
	case broadcast:
		for i := range w.outs {
			if err := w.fill(i, records); err != nil {
				return err
			}
		}
		return nil
	}
	return w.fill(0, records)
}

func (w *Writer[T]) scatter(records []T) error {
	if len(w.outs) == 1 {
		return w.fill(0, records)
	}
	if cap(w.groups) < len(records) {
		w.groups = make([]uint32, len(records))
	}
	groups := w.groups[:len(records)]
	w.part.groups(records, groups)
	for i := range records {
		out := w.table[groups[i]]
		b := w.filling[out]
		if b == nil {
			var err error
			if b, err = w.begin(int(out)); err != nil {
				return err
			}
		}
		b.records = append(b.records, records[i])
		if len(b.records) >= w.size {
			if err := w.sendFilling(int(out)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill appends records to the buffer that fills at position i.
func (w *Writer[T]) fill(i int, records []T) error {
	for len(records) > 0 {
		b := w.filling[i]
		if b == nil {
			var err error
			if b, err = w.begin(i); err != nil {
				return err
			}
		}
		n := min(w.size-len(b.records), len(records))
		b.records = append(b.records, records[:n]...)
		records = records[n:]
		if len(b.records) >= w.size {
			if err := w.sendFilling(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin waits for a buffer that is to fill at position i, with a record that is there now.
func (w *Writer[T]) begin(i int) (*buffer[T], error) {
	b, err := w.empty(i)
	if err != nil {
		return nil, err
	}
	if w.held == 0 {
		w.oldest = time.Now()
	}
	w.held++
	w.filling[i] = b
	return b, nil
}

// empty waits for a free buffer of position i.
func (w *Writer[T]) empty(i int) (*buffer[T], error) {
	b, err := w.take(w.free[i])
	if err != nil {
		return nil, err
	}
	if b.records == nil {
		b.records = make([]T, 0, w.size)
	}
	b.records = b.records[:0]
	return b, nil
}

// take waits for a free buffer.
func (w *Writer[T]) take(free chan *buffer[T]) (*buffer[T], error) {
	var b *buffer[T]
	select {
	case b = <-free:
	default:
		began := time.Now()
		select {
		case b = <-free:
			w.blocked.Add(int64(time.Since(began)))
		case <-w.ctx.Done():
			return nil, context.Cause(w.ctx)
		}
	}
	return b, nil
}

// sendFilling sends the buffer at position i, in several when its records are large.
func (w *Writer[T]) sendFilling(i int) error {
	b := w.filling[i]
	w.filling[i] = nil
	w.held--
	for {
		rest, err := w.outs[b.out].send(b)
		if err != nil || len(rest) == 0 {
			return err
		}
		if b, err = w.empty(i); err != nil {
			return err
		}
		b.records = append(b.records, rest...)
	}
}

// Event sends what is held and then the event to every output.
func (w *Writer[T]) Event(e record.Event) error {
	if err := w.Flush(); err != nil {
		return err
	}
	for i, o := range w.outs {
		b, err := w.take(w.events[i])
		if err != nil {
			return err
		}
		b.event = e
		if _, err := o.send(b); err != nil {
			return err
		}
	}
	return nil
}

// End sends what is held and says that nothing follows. It does not wait until that has
// arrived: see Drain.
func (w *Writer[T]) End() error { return w.Event(record.Event{Kind: record.End}) }

// Drain waits, after End, until every buffer has come home: until each consumer, in this
// process or another, has taken and released all that it was sent, the End included. Then
// nothing that the writer sent can be lost with its process. It fails when the context ends or a
// remote consumer refuses the channel. The writer is of no use after it.
func (w *Writer[T]) Drain() error {
	for _, home := range slices.Concat(w.free, w.events) {
		for range cap(home) { // it has room for exactly the buffers that call it home
			if _, err := w.take(home); err != nil {
				return err
			}
		}
	}
	w.cancel(errDrained)
	return nil
}

var errDrained = errors.New("shuffle: the writer was drained")

// Flush sends every batch that has records.
func (w *Writer[T]) Flush() error {
	for i, b := range w.filling {
		if b == nil {
			continue
		}
		if err := w.sendFilling(i); err != nil {
			return err
		}
	}
	return nil
}

// Deadline is when Flush is due: false when nothing is held.
func (w *Writer[T]) Deadline() (time.Time, bool) {
	if w.held == 0 {
		return time.Time{}, false
	}
	return w.oldest.Add(w.cfg.Timeout), true
}

// Blocked is how long the writer has waited for buffers: back-pressure. Any goroutine may ask.
func (w *Writer[T]) Blocked() time.Duration { return time.Duration(w.blocked.Load()) }
