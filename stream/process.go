package stream

import "github.com/perennial-io/perennial/internal/operator"

// Operator is an operator with keyed state and timers while it is made and while it runs, in one
// subtask: what the functions given to [Process] and its siblings ask, set and emit.
//
// Its methods are for those functions, which run one at a time, and for no other goroutine.
type Operator[K comparable, R any] = operator.KeyedOperator[K, R]

// Process calls a function for each record, with keyed state and timers. open opens the operator's states by
// [NewValue], [NewList], [NewMap] and the like, says what timers are to call, and returns what is
// called for each record. An error that a function returns fails the job, unless [OnError], [DeadLetters] or [DeadTimers]
// says otherwise.
//
// open is called once in each subtask, and once when the job is planned, to learn which states there are. It opens them,
// always the same, and does nothing else: what is to be opened outside belongs into Operator.OnOpen.
//
// A state is found again by the name of the operator and its own, after a failure as after an upgrade. A string or
// slice of a record shares the memory of the batch that it came in: what is kept of it is better cloned.
func Process[K comparable, T, R any](s KeyedStream[K, T], name string, open func(op *Operator[K, R]) func(record T) error, opts ...Option) Stream[R] {
	n, out := keyedOperator(kindProcess, name, opts, func(op *Operator[K, R]) []any {
		return []any{operator.Step(op, 0, s.key, open(op))}
	}, s.partitioned().feed())
	o := newOptions(opts)
	survive[T](out.env, n, o, 0)
	surviveTimers[K](out.env, n, o)
	return out
}

// CoProcess is [Process] of two streams with keys of one type: the functions that open returns are called
// for their records, and share states and timers. The order between the two is that of arrival; the
// watermark is the lower one of theirs.
func CoProcess[K comparable, A, B, R any](
	a KeyedStream[K, A], b KeyedStream[K, B], name string,
	open func(op *Operator[K, R]) (ofA func(record A) error, ofB func(record B) error), opts ...Option,
) Stream[R] {
	n, out := keyedOperator(kindCoProcess, name, opts, func(op *Operator[K, R]) []any {
		ofA, ofB := open(op)
		return []any{operator.Step(op, 0, a.key, ofA), operator.Step(op, 1, b.key, ofB)}
	}, a.partitioned().feed(), b.partitioned().feed())
	surviveBoth[K, A, B](out.env, n, newOptions(opts))
	return out
}

// ProcessBroadcast is [Process] of a stream beside another one, all of whose records go to every
// subtask: rules, say, that are kept in a state of [NewBroadcast]. ofB is called for those, with no key at
// hand. What it does must be the same in every subtask, so records of b come from one subtask, or their order does not
// matter; it may change broadcast states, which ofA only reads.
func ProcessBroadcast[K comparable, A, B, R any](
	a KeyedStream[K, A], b Stream[B], name string,
	open func(op *Operator[K, R]) (ofA func(record A) error, ofB func(record B) error), opts ...Option,
) Stream[R] {
	n, out := keyedOperator(kindBroadcast, name, opts, func(op *Operator[K, R]) []any {
		ofA, ofB := open(op)
		return []any{operator.Step(op, 0, a.key, ofA), operator.BroadcastStep(op, 1, ofB)}
	}, a.partitioned().feed(), Broadcast(b).feed())
	surviveBoth[K, A, B](out.env, n, newOptions(opts))
	return out
}

func surviveBoth[K comparable, A, B any](env *Env, n *node, o options) {
	survive[A](env, n, o, 0)
	survive[B](env, n, o, 1)
	surviveTimers[K](env, n, o)
}

// feed is a stream of whatever type that goes into one input of an operator.
type feed struct {
	env     *Env
	inputs  []input
	bounded bool
}

func (s Stream[T]) feed() feed { return feed{s.env, s.inputs, s.bounded} }

// keyedOperator adds an operator with keyed state; open returns its steps, one for each feed.
func keyedOperator[K comparable, R any](kind, name string, opts []Option, open func(*Operator[K, R]) []any, feeds ...feed) (*node, Stream[R]) {
	n := &node{kind: kind}
	n.Name, n.Out = name, operator.CarrierOf[R]()
	env := n.take(feeds)
	n.Join = func(w *operator.Wiring, out any) ([]any, error) {
		return operator.NewKeyed(w, name, env.groups(), out.(operator.Receiver[R]), open)
	}
	states, err := operator.DescribeKeyed(open)
	if n.States = states; err != nil {
		env.errorf("operator %q: %w", name, err)
	}
	env.add(n, newOptions(opts))
	return n, streamOf[R](env, n)
}

// take makes the feeds the inputs of n.
func (n *node) take(feeds []feed) (env *Env) {
	n.bounded = true
	for i, f := range feeds {
		if f.env == nil {
			panic(noInput{n.kind, n.Name})
		}
		env = f.env
		for _, in := range f.inputs {
			in.port = i
			n.inputs = append(n.inputs, in)
		}
		n.bounded = n.bounded && f.bounded
	}
	return env
}
