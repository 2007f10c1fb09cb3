package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
)

// Committable is what it takes to commit a transaction, in any process: its name, or more.
type Committable []byte

// TransactionalWriter is what a sink writes with whose output becomes visible by a commit in the system
// that it writes to; connector.TransactionalWriter tells what each method promises.
type TransactionalWriter[T any] interface {
	Recover(named []Committable) error
	Write(records []T) error
	Flush() error
	Prepare() (Committable, error)
	Commit(ctx context.Context, c Committable) error
	Abort() error
	Close() error
}

// Transactional returns the last step of a chain, which writes by tw, and commits what tw has prepared
// once a completed checkpoint names it or, where there are no checkpoints, once the whole job has come to its
// end. From now on tw is the step's to close, whatever else happens.
func Transactional[T any](w *Wiring, name string, tw TransactionalWriter[T], maxAge time.Duration) (Receiver[T], error) {
	s := &transactional[T]{TransactionalWriter: tw, w: w, name: name, maxAge: maxAge}
	w.sinks = append(w.sinks, s)
	w.Enter(name)
	var err error
	if s.codec, err = record.CodecOf[prepared](); err != nil {
		return nil, err
	}
	named, share, err := s.restored()
	if err != nil {
		return nil, err
	}
	if err := tw.Recover(named); err != nil {
		return nil, err
	}
	s.committer = newCommitter(w.Context(name), &w.completed, tw.Commit)
	for _, c := range share {
		s.committer.add(w.taken, c)
	}
	w.flushers = append(w.flushers, s)
	w.Remember(name, s)
	return s, nil
}

// transactional is the sink. Its state are the transactions that are prepared and not known to be committed.
type transactional[T any] struct {
	TransactionalWriter[T]
	w         *Wiring
	name      string
	maxAge    time.Duration
	since     time.Time // when the oldest unflushed batch came; zero: none
	codec     *record.Codec[prepared]
	committer *committer // nil: Recover failed
	finished  bool       // the input has ended
	sealed    bool       // and the last transaction is prepared
}

// prepared is an entry of the state.
type prepared struct{ Committable Committable }

// committables is the name of the state.
const committables = "committables"

// TransactionalState is the state of a transactional sink.
func TransactionalState() job.StateType {
	return state.TypeOf[prepared](committables, job.CommittablesState)
}

// restored returns what the restored checkpoint names, of all subtasks, and this subtask's share of it: that of the
// subtasks whose place it takes.
func (s *transactional[T]) restored() (named, share []Committable, err error) {
	ctx := s.w.Context(s.name)
	for _, piece := range s.w.Restored(s.name, committables) {
		err := state.ReadPiece(piece, s.codec, func(list []prepared) error {
			for _, p := range list {
				c := append(Committable(nil), p.Committable...)
				named = append(named, c)
				if piece.Subtask%ctx.Parallelism() == ctx.Subtask() {
					share = append(share, c)
				}
			}
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("the state of operator %q, written by its subtask %d: %w", s.name, piece.Subtask, err)
		}
	}
	return named, share, nil
}

func (s *transactional[T]) Batch(records []T) error {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return s.Write(records)
}

// Event needs nothing: a sink passes nothing on.
func (s *transactional[T]) Event(record.Event) error { return nil }

// End needs nothing: the loop calls Finish once every step has ended.
func (s *transactional[T]) End() error { return nil }

func (s *transactional[T]) Deadline() (time.Time, bool) {
	return s.since.Add(s.maxAge), !s.since.IsZero()
}

func (s *transactional[T]) Flush() error {
	s.w.Enter(s.name)
	s.since = time.Time{}
	return s.TransactionalWriter.Flush()
}

// Snapshot ends the transaction of the records before the barrier, and names all that are not known
// to be committed (R3): also those of checkpoints that were aborted.
func (s *transactional[T]) Snapshot() ([]Snapshot, error) {
	if !s.finished {
		if err := s.seal(s.w.taken); err != nil {
			return nil, err
		}
	}
	list := []prepared{}
	for _, c := range s.committer.waiting() {
		list = append(list, prepared{c})
	}
	one, err := state.Small(committables, job.CommittablesState, s.codec, list)
	return []state.Snapshot{one}, err
}

// seal prepares the present transaction. The first checkpoint that names it is since.
func (s *transactional[T]) seal(since job.CheckpointID) error {
	if err := s.committer.trouble(); err != nil {
		return err
	}
	s.since = time.Time{}
	c, err := s.TransactionalWriter.Prepare()
	if err != nil {
		return err
	}
	if len(c) > 0 {
		s.committer.add(since, c)
	}
	return nil
}

// Prepare names no files: the transactions are a part of the state.
func (s *transactional[T]) Prepare(job.CheckpointID) ([]job.OperatorOutput, error) { return nil, nil }

// Finish prepares the last transaction, which the next checkpoint is the first to name. Without checkpoints it leaves
// that to Settle: until every subtask has come to its end, Abort is still to find it open.
func (s *transactional[T]) Finish() ([]job.OperatorOutput, error) {
	s.w.Enter(s.name)
	s.finished = true
	if !s.w.checkpointed() {
		return nil, s.Flush()
	}
	s.sealed = true
	return nil, s.seal(s.w.taken + 1)
}

// Settle returns once everything is committed.
func (s *transactional[T]) Settle() error {
	s.w.Enter(s.name)
	if !s.sealed {
		s.sealed = true
		if err := s.seal(0); err != nil {
			return err
		}
	}
	return s.committer.settle()
}

// awaitCommits returns once all is committed that checkpoints up to id name.
func (s *transactional[T]) awaitCommits(id job.CheckpointID) (operator string, err error) {
	return s.name, s.committer.upTo(id)
}

// Settles reports whether something is still to be committed.
func (s *transactional[T]) Settles() bool { return !s.sealed || len(s.committer.waiting()) > 0 }

// Abort gives up the transaction that is open. What is prepared stays: a completed checkpoint may name it.
func (s *transactional[T]) Abort() error {
	if s.committer == nil || s.sealed {
		return nil
	}
	s.w.Enter(s.name)
	return s.TransactionalWriter.Abort()
}

func (s *transactional[T]) Close() error {
	s.w.Enter(s.name)
	if s.committer != nil {
		s.committer.stop()
	}
	return s.TransactionalWriter.Close()
}
