package operator

import (
	"reflect"
	"sync/atomic"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// Carrier makes whatever moves records of one type: the joints of a chain, and the two ends
// of a channel. It is how the runtime wires a plan without knowing its types; each `any` is the
// generic thing of the carrier's type that its comment names.
type Carrier interface {
	// Schema describes the type, as a part of the graph's hash.
	Schema() string
	// Err tells why records of the type cannot leave their subtask; nil if they can. The
	// methods below Port need that they can.
	Err() error

	// Tee takes Receivers and returns one.
	Tee(outs []any) any
	// Port takes a *shuffle.Gate and the Receiver of its batches. First is the number of the
	// gate's first channel among those of the vertex.
	Port(gate, chain any, first int) Port

	// Gate returns a *shuffle.Gate.
	Gate(channels int) any
	// Bind makes a gate's channel the receiving end of ch.
	Bind(x *shuffle.Exchange, ch shuffle.Channel, gate any, channel int)
	// Local returns a shuffle.Output to a gate of this process.
	Local(gate any, channel int) any
	// Remote returns a shuffle.Output to the process behind a data address.
	Remote(x *shuffle.Exchange, ch shuffle.Channel, peer string) (any, error)
	// Writer takes Outputs and returns a Receiver that writes to them, which it makes known to w.
	Writer(w *Wiring, e Edge, outs []any, cfg shuffle.WriterConfig) any
	// Counted takes a Receiver and returns one that adds to n what it hands to it.
	Counted(out any, n *atomic.Uint64) any
	// The partitioners that know no key, as shuffle.Partitioner.
	Forward() any
	Rebalance() any
	Broadcast() any
}

// CarrierOf returns the carrier of T. It always does: a type without a codec may still travel
// within a chain.
func CarrierOf[T any]() Carrier {
	codec, err := record.CodecOf[T]()
	return carrier[T]{codec, err}
}

type carrier[T any] struct {
	codec *record.Codec[T]
	err   error
}

func (c carrier[T]) Schema() string {
	if c.err != nil {
		return "go " + reflect.TypeFor[T]().String()
	}
	return c.codec.Schema()
}

func (c carrier[T]) Err() error     { return c.err }
func (c carrier[T]) Forward() any   { return shuffle.Forward[T]() }
func (c carrier[T]) Rebalance() any { return shuffle.Rebalance[T]() }
func (c carrier[T]) Broadcast() any { return shuffle.Broadcast[T]() }

func (c carrier[T]) Tee(outs []any) any { return Tee(typed[Receiver[T]](outs)) }

func (c carrier[T]) Port(gate, chain any, first int) Port {
	return &port[T]{first: first, gate: gate.(*shuffle.Gate[T]), chain: chain.(Receiver[T])}
}

func (c carrier[T]) Gate(channels int) any { return shuffle.NewGate(channels, c.codec) }

func (c carrier[T]) Bind(x *shuffle.Exchange, ch shuffle.Channel, gate any, channel int) {
	shuffle.BindInput(x, ch, gate.(*shuffle.Gate[T]), channel)
}

func (c carrier[T]) Local(gate any, channel int) any {
	return shuffle.LocalOutput(gate.(*shuffle.Gate[T]), channel)
}

func (c carrier[T]) Remote(x *shuffle.Exchange, ch shuffle.Channel, peer string) (any, error) {
	return shuffle.RemoteOutput(x, ch, peer, c.codec)
}

func (c carrier[T]) Writer(w *Wiring, e Edge, outs []any, cfg shuffle.WriterConfig) any {
	cfg.Immediate = e.Immediate
	writer := shuffle.NewWriter(e.Partition().(shuffle.Partitioner[T]), typed[shuffle.Output[T]](outs), cfg)
	w.flushers = append(w.flushers, writer)
	w.blocked = append(w.blocked, writer.Blocked)
	w.drains = append(w.drains, func() error {
		w.Enter(e.Consumer)
		return writer.Drain()
	})
	return &guard[T]{w: w, name: e.Consumer, out: &outlet[T]{w, writer}}
}

func (c carrier[T]) Counted(out any, n *atomic.Uint64) any {
	return Receiver[T](&emitted[T]{n, out.(Receiver[T])})
}

func typed[X any](erased []any) []X {
	xs := make([]X, len(erased))
	for i, e := range erased {
		xs[i] = e.(X)
	}
	return xs
}

// outlet counts what leaves the subtask.
type outlet[T any] struct {
	w *Wiring
	*shuffle.Writer[T]
}

func (o *outlet[T]) Batch(records []T) error {
	o.w.Out.Add(uint64(len(records)))
	return o.Writer.Batch(records)
}
