package connector

import (
	"context"
	"errors"

	"github.com/perennial-io/perennial/internal/operator"
)

// TransactionalSink describes where records go by transactions of the system that they go to: a topic, a table.
// Transactional makes a Sink of it, which is exactly-once.
//
// Each subtask writes one transaction after the other. A checkpoint ends one: it is prepared, so that any
// process can commit it later, and what names it, the Committable, becomes a part of the checkpoint. It is
// committed once that checkpoint is completed: by the same subtask or, if that has died, by whichever continues
// from the checkpoint. At the end of the input a last checkpoint is taken for the last transactions, and the
// subtask has finished only when they are committed. Where there are no checkpoints, as in stream.Run, one transaction
// takes everything, and is prepared and committed once all of the job has come to its end.
//
// Package connectortest has the suite that every implementation passes. A Checker is asked before the job runs.
type TransactionalSink[T any] interface {
	// Begin returns the writer of one subtask.
	Begin(ctx *Context) (TransactionalWriter[T], error)
}

// Committable is what it takes to commit a prepared transaction, in any process: its name, or more. The runtime
// keeps it in checkpoints, and only the sink understands it.
type Committable = operator.Committable

// ErrTransactionLost is wrapped by the error of a Commit that can never succeed, because the transaction was given up:
// by a time-out of the system, or by a person. Its records are lost, so the job fails instead of going on without them.
var ErrTransactionLost = operator.ErrTransactionLost

// TransactionalWriter writes what one subtask receives. Recover is called first, and Close last, whatever
// happens. Commit is called from another goroutine than all else, beside the other methods but for Close.
type TransactionalWriter[T any] interface {
	// Recover rolls back what lower attempts began in the place of this subtask and left behind, be it open or
	// prepared, but for the transactions that named has: the restored checkpoint names them, for all subtasks, and
	// they are going to be committed. Transaction.Orphan tells which are meant. After it, nothing that such an
	// attempt still does, should it be running somewhere, may become visible by itself.
	Recover(named []Committable) error
	// Write takes records into the present transaction, and begins one if there is none. It keeps neither
	// the slice nor, without copying them, strings and byte slices in it: they may share the memory of a whole batch.
	Write(records []T) error
	// Flush hands on what Write buffered; it is called when the oldest of it is older than buffer.timeout, and
	// may be called at any time.
	Flush() error
	// Prepare ends the present transaction, and makes it durable: from now on it survives this process and the
	// loss of every connection, its records are invisible, and it is neither committed nor rolled back by itself. An
	// empty Committable says that nothing was written.
	Prepare() (Committable, error)
	// Commit makes a prepared transaction visible: one that this writer, another one or an earlier attempt
	// prepared. It may be called again, and by two at once, for what is committed: that changes nothing, and
	// is no error. An error is tried again, after a wait, for as long as the attempt lives, but for ErrTransactionLost.
	// ctx ends when the subtask is to stop; whether it is committed then may stay open.
	Commit(ctx context.Context, c Committable) error
	// Abort rolls back what was written since the last Prepare, and nothing else: what was prepared may be named by
	// a completed checkpoint. Only Commit and Close follow.
	Abort() error
	// Close frees what the writer holds, and changes nothing that is prepared.
	Close() error
}

// Transactional returns the Sink that runs s.
func Transactional[T any](s TransactionalSink[T]) Sink[T] { return transactional[T]{s} }

// TransactionalOf returns what Transactional made sink of; ok is false if it is another sink.
func TransactionalOf[T any](sink Sink[T]) (s TransactionalSink[T], ok bool) {
	t, ok := sink.(transactional[T])
	return t.sink, ok
}

type transactional[T any] struct{ sink TransactionalSink[T] }

// Open is not what the runtime calls.
func (t transactional[T]) Open(*Context) (SinkWriter[T], error) {
	return nil, errors.New("a transactional sink was opened as one of files: use connector.TransactionalOf and Begin")
}

func (t transactional[T]) Check(ctx *Context) error {
	if c, ok := t.sink.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
