package stream

import (
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// To sends the records to a sink.
func To[T any](s Stream[T], name string, sink connector.Sink[T], opts ...Option) {
	var n *node
	if t, ok := connector.TransactionalOf(sink); ok {
		n = addTransactional(s, name, opts, t)
	} else {
		n = addSink(s, name, opts, func(w *operator.Wiring) (operator.SinkWriter[T], error) {
			return sink.Open(w.Context(name))
		})
	}
	n.checker, _ = sink.(connector.Checker)
}

func addTransactional[T any](s Stream[T], name string, opts []Option, sink connector.TransactionalSink[T]) *node {
	n := &node{kind: kindSink}
	n.Name, n.States = name, []job.StateType{operator.TransactionalState()}
	n.Chain = func(w *operator.Wiring, _ any) (any, error) {
		tw, err := sink.Begin(w.Context(name))
		if err != nil {
			return nil, err
		}
		in, err := operator.Transactional(w, name, tw, sinkMaxAge)
		return operator.Guard(w, name, in), err
	}
	s.take(n).add(n, newOptions(opts))
	return n
}

// ToFunc sends the records to a function. open is called once in each subtask and returns the
// function, which only that subtask calls. An error of either fails the job, but for one of a record
// where [OnError] or [DeadLetters] says otherwise. The function keeps neither slices nor, without cloning
// them, strings of a record for long: they share the memory of a whole batch.
//
// Semantics: at-least-once. After a failure the function is called again with the records that
// followed the last complete checkpoint.
func ToFunc[T any](s Stream[T], name string, open func(ctx *Context) (func(record T) error, error), opts ...Option) {
	n := &node{kind: kindSink}
	n.Name = name
	n.Chain = func(w *operator.Wiring, _ any) (any, error) {
		f, err := open(w.Context(name))
		if err != nil {
			return nil, err
		}
		if s := operator.SurvivorOf[T](w, name, 0); s != nil {
			return operator.Guard(w, name, operator.TryEach(s, f)), nil
		}
		return operator.Guard(w, name, operator.Sink(w, name, funcWriter[T](f), sinkMaxAge)), nil
	}
	env, o := s.take(n), newOptions(opts)
	o.byRecord = true
	env.add(n, o)
	survive[T](env, n, o, 0)
}

// ForEach calls f for each record: from several goroutines at once if the operator is parallel.
//
// Semantics: at-least-once, as of ToFunc.
func ForEach[T any](s Stream[T], name string, f func(T), opts ...Option) {
	ToFunc(s, name, func(*Context) (func(T) error, error) {
		return func(record T) error { f(record); return nil }, nil
	}, opts...)
}

func addSink[T any](s Stream[T], name string, opts []Option, open func(*operator.Wiring) (operator.SinkWriter[T], error)) *node {
	n := &node{kind: kindSink}
	n.Name = name
	n.Chain = func(w *operator.Wiring, _ any) (any, error) {
		sw, err := open(w)
		if err != nil {
			return nil, err
		}
		return operator.Guard(w, name, operator.Sink(w, name, sw, sinkMaxAge)), nil
	}
	s.take(n).add(n, newOptions(opts))
	return n
}

// sinkMaxAge is the age at which a sink's writer is flushed, the same as that of an exchange.
const sinkMaxAge time.Duration = shuffle.DefaultTimeout

// funcWriter is a plain function as a sink: it holds nothing back and publishes nothing.
type funcWriter[T any] func(T) error

func (f funcWriter[T]) Write(records []T) error {
	for i := range records {
		if err := f(records[i]); err != nil {
			return err
		}
	}
	return nil
}

// Prepare needs nothing: the function has had every record.
func (f funcWriter[T]) Prepare() ([]connector.Output, error) { return nil, nil }

func (f funcWriter[T]) Flush() error                        { return nil }
func (f funcWriter[T]) Finish() ([]connector.Output, error) { return nil, nil }
func (f funcWriter[T]) Abort() error                        { return nil }
