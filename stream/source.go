package stream

import (
	"context"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// From returns the records of a source. A first operator, in one subtask, names the source's
// splits; the subtasks of this one read them, each split in one.
func From[T any](env *Env, name string, src connector.Source[T], opts ...Option) Stream[T] {
	o := newOptions(opts)
	n := &node{kind: kindSource, bounded: src.Bounded()}
	splits := splitsNode(name+" splits", src, n)
	splits.bounded = src.Bounded()
	env.add(splits, options{parallelism: 1})

	n.inputs = []input{{from: splits, partitioning: job.Rebalance}}
	n.Name, n.Out = name, operator.CarrierOf[T]()
	n.checker, _ = src.(connector.Checker)
	n.States = []job.StateType{operator.ReadingState[connector.Split](true)}
	n.Read = func(w *operator.Wiring, gate, out any) (operator.Driver, error) {
		ctx := w.Context(name)
		return operator.NewReading(w, operator.Reading[connector.Split, T]{
			Name: name, Bounded: splitsEnd(src), Rate: o.rate / float64(ctx.Parallelism()),
			Open: func(s connector.Split) (operator.Reader[T], error) { return src.Open(ctx, s) },
		}, gate.(*shuffle.Gate[connector.Split]), out.(operator.Receiver[T])), nil
	}
	env.add(n, o)
	return streamOf[T](env, n)
}

func splitsNode[T any](name string, src connector.Source[T], readers *node) *node {
	n := &node{kind: kindSplits}
	n.Name, n.Out = name, operator.CarrierOf[connector.Split]()
	n.States = []job.StateType{operator.ListingState[connector.Split]()}
	discovering, discovers := src.(connector.Discovering)
	if discovers {
		n.States[0] = operator.DiscoveryState()
	}
	n.Read = func(w *operator.Wiring, _, out any) (operator.Driver, error) {
		ctx := w.Context(name).ForReaders(readers.parallelism)
		if discovers {
			discover := func(c context.Context, state []byte, emit func([]connector.Split, []byte) error) error {
				return discovering.Discover(ctx.With(c), state, emit)
			}
			return operator.NewDiscovery(w, name, discover, out.(operator.Receiver[connector.Split])), nil
		}
		list := func(c context.Context, emit func(connector.Split) error) error { return src.Splits(ctx.With(c), emit) }
		return operator.NewSplits(w, name, list, out.(operator.Receiver[connector.Split])), nil
	}
	return n
}

// splitsEnd reports whether a subtask reads one split after the other.
func splitsEnd[T any](src connector.Source[T]) bool {
	d, ok := src.(connector.Discovering)
	return src.Bounded() || ok && d.SplitsEnd()
}

// FromFunc returns what f emits. f runs in a goroutine of its own, once in each subtask; unless
// [Parallelism] says otherwise that is one. The input ends when f returns; one that is not meant
// to return by itself is declared [Unbounded]. emit waits while the job is not ready for
// more; when the job is stopped it does not return, and f's deferred functions run.
func FromFunc[T any](env *Env, name string, f func(ctx *Context, emit func(T)) error, opts ...Option) Stream[T] {
	o := newOptions(append([]Option{Parallelism(1)}, opts...))
	n := &node{kind: kindSource, bounded: !o.unbounded}
	n.Name, n.Out = name, operator.CarrierOf[T]()
	n.States = []job.StateType{operator.ReadingState[struct{}](false)}
	n.Read = func(w *operator.Wiring, _, out any) (operator.Driver, error) {
		ctx := w.Context(name)
		open := func(struct{}) (operator.Reader[T], error) {
			return operator.FuncReader(ctx, func(c context.Context, emit func(T)) error { return f(ctx.With(c), emit) }), nil
		}
		r := operator.Reading[struct{}, T]{Name: name, Bounded: true, Rate: o.rate / float64(ctx.Parallelism()), Open: open}
		return operator.NewReading(w, r, nil, out.(operator.Receiver[T])), nil
	}
	env.add(n, o)
	return streamOf[T](env, n)
}
