// Package print is the sink for looking at records: a line of text each, on standard output.
//
// Semantics: at-least-once. What was printed stays printed, and what followed the last complete
// checkpoint is printed again after a failure.
//
// On a cluster the lines appear in the output of the task processes. It is not made for speed, and
// starts no goroutine.
package print

import (
	"fmt"
	"io"
	"os"

	"github.com/perennial-io/perennial/connector"
)

// Stdout prints each record on a line of its own, as fmt's %+v has it. When the sink runs as
// several subtasks, the index of the subtask and "> " stand before it.
func Stdout[T any]() connector.Sink[T] { return To[T](os.Stdout) }

// To is Stdout for another writer of the same process. Each batch is one call of Write; several
// subtasks call at the same time, so w must allow that, as an os.File does.
func To[T any](w io.Writer) connector.Sink[T] { return sink[T]{w} }

type sink[T any] struct{ w io.Writer }

func (s sink[T]) Open(ctx *connector.Context) (connector.SinkWriter[T], error) {
	w := &writer[T]{w: s.w}
	if ctx.Parallelism() > 1 {
		w.prefix = fmt.Sprintf("%d> ", ctx.Subtask())
	}
	return w, nil
}

type writer[T any] struct {
	w      io.Writer
	prefix string
	text   []byte
}

func (w *writer[T]) Write(records []T) error {
	w.text = w.text[:0]
	for i := range records {
		w.text = append(w.text, w.prefix...)
		w.text = fmt.Appendf(w.text, "%+v\n", records[i])
	}
	if _, err := w.w.Write(w.text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Prepare needs nothing: what was written was printed.
func (w *writer[T]) Prepare() ([]connector.Output, error) { return nil, nil }

func (w *writer[T]) Flush() error                        { return nil }
func (w *writer[T]) Finish() ([]connector.Output, error) { return nil, nil }
func (w *writer[T]) Abort() error                        { return nil }
