package stream

import "github.com/perennial-io/perennial/internal/operator"

// Map returns f of each record. Where T and U are the same large struct, [Modify] costs much less.
func Map[T, U any](s Stream[T], name string, f func(T) U, opts ...Option) Stream[U] {
	n := stepNode(kindMap, name, func(w *operator.Wiring, out operator.Receiver[U]) (operator.Receiver[T], error) {
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.TryMap(s, f, out), nil
		}
		return operator.Map(f, out), nil
	})
	return next[T, U](s, n, opts)
}

// Modify lets f change each record. It is Map for large records: Go copies a struct of seven
// words four times to hand it to a function by value and back, which takes ten times as long
// as to change one field where it is. f must not keep the pointer.
func Modify[T any](s Stream[T], name string, f func(record *T), opts ...Option) Stream[T] {
	n := stepNode(kindModify, name, func(w *operator.Wiring, out operator.Receiver[T]) (operator.Receiver[T], error) {
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.TryModify(s, f, out), nil
		}
		return operator.Modify(f, out), nil
	})
	return next[T, T](s, n, opts)
}

// Filter returns the records for which keep is true. For large records, [Retain] costs less.
func Filter[T any](s Stream[T], name string, keep func(T) bool, opts ...Option) Stream[T] {
	n := stepNode(kindFilter, name, func(w *operator.Wiring, out operator.Receiver[T]) (operator.Receiver[T], error) {
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.TryFilter(s, keep, out), nil
		}
		return operator.Filter(keep, out), nil
	})
	return next[T, T](s, n, opts)
}

// Retain is Filter for large records, as [Modify] is Map: keep looks at each where it is, and
// may change it. It must not keep the pointer.
func Retain[T any](s Stream[T], name string, keep func(record *T) bool, opts ...Option) Stream[T] {
	n := stepNode(kindFilter, name, func(w *operator.Wiring, out operator.Receiver[T]) (operator.Receiver[T], error) {
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.TryRetain(s, keep, out), nil
		}
		return operator.Retain(keep, out), nil
	})
	return next[T, T](s, n, opts)
}

// FlatMap returns whatever f emits for each record: nothing, one record or many. emit is valid
// until f returns.
func FlatMap[T, U any](s Stream[T], name string, f func(record T, emit func(U)), opts ...Option) Stream[U] {
	n := stepNode(kindFlatMap, name, func(w *operator.Wiring, out operator.Receiver[U]) (operator.Receiver[T], error) {
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.TryFlatMap(s, f, out), nil
		}
		return operator.FlatMap(f, out), nil
	})
	return next[T, U](s, n, opts)
}

// Apply is FlatMap for a function that needs to know where it runs, opens something first, or
// may fail. open is called once in each subtask and returns the function for its records, which
// only that subtask calls: what it closes over is its own. An error of either fails the job, but for
// one of a record where [OnError] or [DeadLetters] says otherwise.
// What was opened can be closed by context.AfterFunc on ctx, which ends with the subtask.
func Apply[T, U any](s Stream[T], name string, open func(ctx *Context) (func(record T, emit func(U)) error, error), opts ...Option) Stream[U] {
	n := stepNode(kindApply, name, func(w *operator.Wiring, out operator.Receiver[U]) (operator.Receiver[T], error) {
		f, err := open(w.Context(name))
		if err != nil {
			return nil, err
		}
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.TryApply(s, f, out), nil
		}
		return operator.Apply(f, out), nil
	})
	return next[T, U](s, n, opts)
}

// stepNode returns a node whose steps come from step.
func stepNode[T, U any](kind, name string, step func(w *operator.Wiring, out operator.Receiver[U]) (operator.Receiver[T], error)) *node {
	n := &node{kind: kind}
	n.Name = name
	n.Chain = func(w *operator.Wiring, out any) (any, error) {
		in, err := step(w, out.(operator.Receiver[U]))
		if err != nil {
			return nil, err
		}
		return operator.Guard(w, name, in), nil
	}
	return n
}
