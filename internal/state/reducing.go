package state

// ReducingState is one value per key, of everything that was added to it.
type ReducingState[V any] struct {
	value ValueState[V]
	f     func(sum, next V) V
}

// Reducing makes it of a value state.
func Reducing[V any](value ValueState[V], f func(sum, next V) V) ReducingState[V] {
	return ReducingState[V]{value, f}
}

// Add takes v into the value: the first one is it, every other is combined with what there is.
func (r ReducingState[V]) Add(v V) {
	if sum, ok := r.value.Get(); ok {
		v = r.f(sum, v)
	}
	r.value.Set(v)
}

// Get returns what all that was added comes to, and whether there was any.
func (r ReducingState[V]) Get() (V, bool) { return r.value.Get() }

// Clear removes the value.
func (r ReducingState[V]) Clear() { r.value.Clear() }

// AggregatingState is one accumulator per key, of records of another type.
type AggregatingState[T, A, R any] struct {
	value  ValueState[A]
	add    func(acc A, v T) A
	result func(acc A) R
}

// Aggregating makes it of a value state.
func Aggregating[T, A, R any](value ValueState[A], add func(acc A, v T) A, result func(acc A) R) AggregatingState[T, A, R] {
	return AggregatingState[T, A, R]{value, add, result}
}

// Add takes v into the accumulator, which begins as the zero value.
func (a AggregatingState[T, A, R]) Add(v T) {
	acc, _ := a.value.Get()
	a.value.Set(a.add(acc, v))
}

// Get returns the result, and whether anything was added.
func (a AggregatingState[T, A, R]) Get() (r R, ok bool) {
	acc, ok := a.value.Get()
	if ok {
		r = a.result(acc)
	}
	return r, ok
}

// Clear removes the accumulator.
func (a AggregatingState[T, A, R]) Clear() { a.value.Clear() }
