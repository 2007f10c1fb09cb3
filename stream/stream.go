package stream

import (
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// The kinds of operator, as they are part of the graph.
const (
	kindSplits     = "splits"
	kindSource     = "source"
	kindMap        = "map"
	kindModify     = "modify"
	kindFilter     = "filter"
	kindFlatMap    = "flatmap"
	kindApply      = "apply"
	kindWatermarks = "watermarks"
	kindProcess    = "process"
	kindCoProcess  = "coprocess"
	kindBroadcast  = "broadcast process"
	kindReduce     = "reduce"
	kindAggregate  = "aggregate"
	kindSink       = "sink"
)

// Stream is a flow of records of type T between operators. Any number of consumers may be
// connected to it; each gets every record.
type Stream[T any] struct {
	env     *Env
	inputs  []input
	carrier operator.Carrier
	bounded bool
}

// KeyedStream is a stream whose records belong to keys: the records of one key all meet in one
// subtask, in an order that keeps that of each producing subtask.
type KeyedStream[K comparable, T any] struct {
	stream Stream[T]
	key    func(T) K
}

// Union returns the records of all the streams, in no particular order between them.
func Union[T any](streams ...Stream[T]) Stream[T] {
	u := Stream[T]{carrier: operator.CarrierOf[T](), bounded: true}
	for _, s := range streams {
		if s.env != nil {
			u.env = s.env
		}
		u.inputs = append(u.inputs, s.inputs...)
		u.bounded = u.bounded && s.bounded
	}
	return u
}

// Rebalance returns the stream with its records dealt out evenly to the subtasks of what
// follows: in turn, and to whoever has room when one of them is slow. It is for sources with
// uneven splits; where an operator and its consumer differ in parallelism it happens by itself.
func Rebalance[T any](s Stream[T]) Stream[T] { return s.partitioned(job.Rebalance) }

// Broadcast returns the stream with every record going to every subtask of what follows.
func Broadcast[T any](s Stream[T]) Stream[T] { return s.partitioned(job.Broadcast) }

func (s Stream[T]) partitioned(p job.Partitioning) Stream[T] {
	s.inputs = slices.Clone(s.inputs)
	for i := range s.inputs {
		s.inputs[i].partitioning, s.inputs[i].partition = p, nil
	}
	return s
}

// KeyBy returns the stream with the records of each key brought together. The key may be of any
// comparable type that can be encoded: strings, numbers, booleans, times, structs and arrays of them.
func KeyBy[K comparable, T any](s Stream[T], key func(T) K) KeyedStream[K, T] {
	return KeyedStream[K, T]{stream: s, key: key}
}

// next adds an operator that takes s and emits U, and returns what it emits.
func next[T, U any](s Stream[T], n *node, opts []Option) Stream[U] {
	env := s.take(n)
	n.Out = operator.CarrierOf[U]()
	o := newOptions(opts)
	env.add(n, o)
	survive[T](env, n, o, 0)
	return streamOf[U](env, n)
}

// take makes s the input of n.
func (s Stream[T]) take(n *node) *Env {
	return n.take([]feed{s.feed()})
}

// noInput is the panic of a verb on a Stream that comes from no source: there is no Env to which
// it could be reported. Whoever runs the building function recovers it and makes it an error.
type noInput struct{ kind, name string }

func (n noInput) Error() string {
	return fmt.Sprintf("operator %q (%s) has no input: its stream comes from no source (a zero Stream, or a Union of none)", n.name, n.kind)
}

func streamOf[T any](env *Env, n *node) Stream[T] {
	return Stream[T]{
		env: env, carrier: n.Out, bounded: n.bounded,
		inputs: []input{{from: n, partitioning: job.Forward}},
	}
}
