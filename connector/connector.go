package connector

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// Context tells a connector where it runs, and ends when its subtask is to stop.
type Context = operator.Context

// Output is a file that a sink has written and that becomes visible, by a rename from Temp to
// Final, only once the job's end is committed or, in an unbounded job, a checkpoint that names it.
// Both are absolute paths in one directory.
type Output = job.Output

// Source describes where records come from: it names splits, and opens any of them.
type Source[T any] interface {
	// Bounded reports whether every split ends.
	Bounded() bool
	// Splits emits what there is to read, in one subtask of the job, and returns when it has named
	// everything. A source that discovers new splits for ever returns when ctx ends.
	// Here ctx.Parallelism is the number of subtasks that will read.
	// It runs in a goroutine of its own, somewhat ahead of the readers. emit blocks while they have no
	// room; when the job is to stop it does not return, and deferred functions run.
	// After a failure it is called again, and must name the same splits in the same order: those that
	// were handed out are skipped, and a job whose input has changed fails.
	Splits(ctx *Context, emit func(Split) error) error
	// Open returns a reader of s. Any subtask of any process of the job may be asked.
	Open(ctx *Context, s Split) (Reader[T], error)
}

// Discovering is a Source whose splits come to be while the job runs, or may be gone when it starts over: it cannot
// name the same ones again, so it says itself what it has named.
type Discovering interface {
	// Discover is called instead of Splits, in the same way. It emits splits and, with them, its state: what it needs to
	// find, if it begins anew, all that come after them and none of them. The splits may be none; those emitted
	// together are handed on together. After a failure state is what came with the last of those that had been handed on
	// when the checkpoint passed; at first it is nil.
	Discover(ctx *Context, state []byte, emit func(splits []Split, state []byte) error) error
	// SplitsEnd reports whether each split comes to an end, though there are always more: then a subtask reads one
	// after the other, as it does of a bounded source. If not it reads all that it has at the same time.
	SplitsEnd() bool
}

// Split is a piece of a source that one subtask reads from its beginning to its end: a range of
// a file, a partition of a topic, a part of a sequence. It travels between processes, so it says
// everything that Open needs beside the Source itself. What the fields mean is the source's choice.
type Split struct {
	Name string // of what is read: a path, a topic and partition
	From int64  // where to begin: a byte, an offset, an index
	To   int64  // where to end, excluding it
	Data []byte // whatever else the source needs
}

// Reader reads one split.
type Reader[T any] interface {
	// Next fills dst and returns how many records it wrote. It never waits for something to
	// happen elsewhere: 0 and nil say that there is nothing now. io.EOF, alone or with the last
	// records, says that the split is done. The reader keeps no part of dst.
	Next(dst []T) (n int, err error)
	// Ready returns a channel that receives a value, or is closed, once there is more after
	// Next returned 0 and nil; nil if Next never does that.
	Ready() <-chan struct{}
	// Close frees what the reader holds, after io.EOF, an error, or in the midst of it all.
	Close() error
}

// Resumable is a Reader whose position can be part of a checkpoint. One that is not is opened
// again at the beginning of its split after a failure, and as many records as it had handed out
// are dropped: so it must then return the same records again.
type Resumable interface {
	// Remaining returns the split that is left: a reader opened for it returns the records that
	// follow those that Next has returned. It is called between calls of Next, and not after io.EOF.
	Remaining() Split
}

// Sink describes where records go.
type Sink[T any] interface {
	// Open returns the writer of one subtask.
	Open(ctx *Context) (SinkWriter[T], error)
}

// Checker is a Source or Sink that can tell before a job runs what will make it fail: a path that
// is not there, an output that exists, a type that it cannot write. A job is planned only if
// every Check returns nil. It runs on some host of the cluster, and may be called more than once.
type Checker interface {
	// Check returns an error for the person who submits the job. It leaves nothing behind.
	Check(ctx *Context) error
}

// SinkWriter writes what one subtask receives. Nothing that it writes may be taken for complete
// before Finish's outputs are published. Exactly one of Finish and Abort is called, last.
type SinkWriter[T any] interface {
	// Write takes records, and keeps neither the slice nor, without copying them, strings and
	// byte slices in it: they may share the memory of a whole batch.
	Write(records []T) error
	// Flush hands on what Write buffered; it is called when the oldest of it is older than
	// buffer.timeout, and may be called at any time.
	Flush() error
	// Prepare is called when a checkpoint passes: it makes durable what was written since the last
	// call, and returns what is to become visible with it. The names that it returned are kept by the
	// runtime, which names them in each checkpoint until they are visible: the writer never
	// removes or changes those files again.
	Prepare() ([]Output, error)
	// Finish is called when the input ended. It makes everything durable, closes, and returns
	// what is to become visible once the job's end is committed, beside what Prepare returned.
	Finish() ([]Output, error)
	// Abort is called instead of Finish when the subtask is not to go on: it removes what was
	// written since the last Prepare.
	Abort() error
}
