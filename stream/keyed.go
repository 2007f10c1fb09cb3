package stream

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
	"github.com/perennial-io/perennial/internal/state"
)

// Reduce combines the records of each key into one, by f of what it has so far and the next.
//
// When the input is bounded, it emits one record per key, at the end. When some source of the
// input is unbounded, or with [Updates], it emits the key's new value after each record.
//
// A string or slice of a record shares the memory of the batch that it came in. What f takes
// over from its second argument into a result that is kept is better cloned (strings.Clone).
func Reduce[K comparable, T any](s KeyedStream[K, T], name string, f func(sum, next T) T, opts ...Option) Stream[T] {
	clone := func(v T) T { return v }
	if codec, err := record.CodecOf[T](); err == nil && codec.HasPointers() {
		clone = codec.Clone
	}
	return keyed(s, kindReduce, name, operator.Keyed[K, T, T, T]{
		First:  func(acc *T, rec T) { *acc = clone(rec) },
		Add:    func(acc *T, rec T) { *acc = f(*acc, rec) },
		Result: func(_ K, acc T) T { return acc },
	}, opts)
}

// Aggregate keeps one accumulator per key, which starts as A's zero value. add takes a record
// into it; result makes of it what is emitted, at the times that [Reduce] tells. acc is valid
// until add returns. What add keeps of a record's strings and slices is better cloned, as in Reduce.
func Aggregate[K comparable, T, A, R any](
	s KeyedStream[K, T], name string, add func(acc *A, record T), result func(key K, acc A) R, opts ...Option,
) Stream[R] {
	return keyed(s, kindAggregate, name, operator.Keyed[K, T, A, R]{Add: add, Result: result}, opts)
}

func keyed[K comparable, T, A, R any](s KeyedStream[K, T], kind, name string, k operator.Keyed[K, T, A, R], opts []Option) Stream[R] {
	k.Key = s.key
	k.Each = !s.stream.bounded || newOptions(opts).updates
	n := stepNode(kind, name, func(w *operator.Wiring, out operator.Receiver[R]) (operator.Receiver[T], error) {
		k := k // of this subtask
		k.Groups = s.stream.env.groups()
		return operator.Aggregate(w, name, k, out)
	})
	n.States = []job.StateType{operator.AggregateState[K, A]()}
	out := next[T, R](s.partitioned(), n, opts)
	if _, err := state.KeysOf[K](1, 0, 1); err != nil {
		out.env.errorf("operator %q: its key: %w", name, err)
	}
	if _, err := record.CodecOf[A](); err != nil {
		out.env.errorf("operator %q: its accumulator cannot be kept in a checkpoint: %w", name, err)
	}
	if err := s.stream.carrier.Err(); err != nil {
		out.env.errorf("operator %q: its records are sent by key and cannot be encoded: %w", name, err)
	}
	return out
}

// partitioned returns the stream with its records sent by key.
func (s KeyedStream[K, T]) partitioned() Stream[T] {
	out := s.stream.partitioned(job.Hash)
	for i := range out.inputs {
		out.inputs[i].partition = func() any {
			hash, err := record.HasherOf[K]()
			if err != nil {
				panic(err) // the job was not to be built: keyed reported it
			}
			return shuffle.HashBy(s.key, hash, s.stream.env.groups())
		}
	}
	return out
}
