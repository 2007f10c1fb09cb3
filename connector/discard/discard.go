// Package discard is the sink that throws records away: for measuring what comes before it, and
// for jobs whose functions do all that matters.
//
// Semantics: none, as nothing is kept. The functions before it may see records again after a failure.
package discard

import "github.com/perennial-io/perennial/connector"

// All is the sink that keeps nothing.
func All[T any]() connector.Sink[T] { return sink[T]{} }

type sink[T any] struct{}

func (sink[T]) Open(*connector.Context) (connector.SinkWriter[T], error) { return writer[T]{}, nil }

type writer[T any] struct{}

func (writer[T]) Write([]T) error                      { return nil }
func (writer[T]) Flush() error                         { return nil }
func (writer[T]) Prepare() ([]connector.Output, error) { return nil, nil }
func (writer[T]) Finish() ([]connector.Output, error)  { return nil, nil }
func (writer[T]) Abort() error                         { return nil }
