package stream

import (
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/state"
)

// ValueState is one value per key.
type ValueState[V any] = state.ValueState[V]

// ListState is a list of values per key.
type ListState[V any] = state.ListState[V]

// MapState is a map per key.
type MapState[M comparable, V any] = state.MapState[M, V]

// ReducingState is one value per key, of all that was added to it.
type ReducingState[V any] = state.ReducingState[V]

// AggregatingState is one accumulator per key, of records of another type.
type AggregatingState[T, A, R any] = state.AggregatingState[T, A, R]

// BroadcastState is a map that is the same in every subtask.
type BroadcastState[M comparable, V any] = state.BroadcastState[M, V]

// StateStore says where a job keeps its keyed state; see [Env.KeepState].
type StateStore = state.Opener

// KeepState says where the job keeps its keyed state, instead of in memory: on disk, say, with
// package state/disk. Timers and broadcast states stay in memory.
func (e *Env) KeepState(in StateStore) { e.keep = in }

// StateOption changes how one state is kept.
type StateOption func(*stateOptions)

type stateOptions struct {
	ttl    time.Duration
	ttlSet bool
}

// TTL makes the values of a state disappear once they are older than d, at least a millisecond: a
// value counts from when it was last set, an element of a list from when it was added, by the clock of the
// host. It is removed when it is asked for, or soon after while records come.
// A state's name cannot be kept when TTL is added to it or taken away: values are stored with their times.
func TTL(d time.Duration) StateOption {
	return func(o *stateOptions) { o.ttl, o.ttlSet = d, true }
}

// NewValue returns the operator's state of that name: one value per key.
func NewValue[V any, K comparable, R any](op *Operator[K, R], name string, opts ...StateOption) ValueState[V] {
	return opened(op, name, opts, state.OpenValue[K, V], state.OpenValueTTL[K, V])
}

// NewList returns the operator's state of that name: a list per key.
func NewList[V any, K comparable, R any](op *Operator[K, R], name string, opts ...StateOption) ListState[V] {
	return opened(op, name, opts, state.OpenList[K, V], state.OpenListTTL[K, V])
}

// NewMap returns the operator's state of that name: a map per key.
func NewMap[M comparable, V any, K comparable, R any](op *Operator[K, R], name string, opts ...StateOption) MapState[M, V] {
	return opened(op, name, opts, state.OpenMap[K, M, V], state.OpenMapTTL[K, M, V])
}

// NewReducing returns the operator's state of that name: one value per key, to which f adds another.
func NewReducing[V any, K comparable, R any](op *Operator[K, R], name string, f func(sum, next V) V, opts ...StateOption) ReducingState[V] {
	return state.Reducing(NewValue[V](op, name, opts...), f)
}

// NewAggregating returns the operator's state of that name: one accumulator per key, which begins as A's zero
// value, to which add adds a record, and of which result makes what is asked for.
func NewAggregating[T, A, Q any, K comparable, R any](
	op *Operator[K, R], name string, add func(acc A, record T) A, result func(acc A) Q, opts ...StateOption,
) AggregatingState[T, A, Q] {
	return state.Aggregating(NewValue[A](op, name, opts...), add, result)
}

// NewBroadcast returns the state of that name of an operator of [ProcessBroadcast]: a map that is the same
// in every subtask. Only records of the broadcast input may change it.
func NewBroadcast[M comparable, V any, K comparable, R any](op *Operator[K, R], name string) *BroadcastState[M, V] {
	return operator.OpenBroadcastState[M, V](op, name)
}

// opened opens a state; what is wrong with it is the operator's to tell.
func opened[S any, K comparable, R any](
	op *Operator[K, R], name string, opts []StateOption,
	open func(*state.Store[K], string) (S, error), openTTL func(*state.Store[K], string, time.Duration) (S, error),
) (s S) {
	var o stateOptions
	for _, opt := range opts {
		opt(&o)
	}
	var err error
	switch {
	case !o.ttlSet:
		s, err = open(operator.StoreOf(op), name)
	case o.ttl < time.Millisecond:
		err = fmt.Errorf("state %q: TTL %v: expected at least a millisecond", name, o.ttl)
	default:
		s, err = openTTL(operator.StoreOf(op), name, o.ttl)
	}
	if err != nil {
		operator.Fail(op, err)
	}
	return s
}
