package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// Checkpoints is how an execution takes part in checkpoints.
type Checkpoints struct {
	Storage *storage.Storage
	// Restore is what the attempt continues from; nil: it begins at the beginning.
	Restore *job.Pointer
	// Acknowledge is told what each subtask contributes, from several goroutines.
	Acknowledge func(job.Acknowledgement)
}

// Trigger begins a checkpoint in every subtask that is here: those that read from outside begin
// its barrier, those that have ended contribute their final state, the others wait for the barrier. With
// stop, those that read from outside emit nothing after it. What is stored may refer to the base, a completed
// checkpoint; 0: none.
func (x *Execution) Trigger(id, base job.CheckpointID, stop bool) {
	for _, s := range x.subtasks {
		s.wiring.Silence(id, stop)
		s.wiring.Announce(id)
		s.uploads.announced(s, id, base)
	}
}

// Closed says that a checkpoint is completed or aborted: which is the newest completed one, whether the outputs that
// the closed one named are visible, and whether subtasks that it silenced are to go on.
func (x *Execution) Closed(id, completed job.CheckpointID, published, resume bool) {
	x.copies.completed(completed)
	for _, s := range x.subtasks {
		s.wiring.Completed(completed)
		if published {
			s.wiring.Published(id)
		}
		if resume {
			s.wiring.Resume(id)
		} else if completed >= id && s.wiring.SilentAfter(id) && s.wired.Load() {
			x.uploads.Go(func() { s.commitUpTo(id) })
		}
	}
}

// commitUpTo says when all is committed that the checkpoint of a stop names: the job does not end before.
func (s *subtask) commitUpTo(id job.CheckpointID) {
	switch operator, err := s.wiring.AwaitCommits(id); {
	case s.ctx.Err() != nil:
	case err != nil: // none of it ever will
		s.cancel(uncommittableError{operator, err})
	default:
		s.report(rpc.SubtaskReport{State: job.Running, Committed: id}, nil)
	}
}

// Drain has the subtasks that read from outside end as if their input had.
func (x *Execution) Drain() {
	for _, s := range x.subtasks {
		s.wiring.EndInput()
	}
}

// damagedError says that what a checkpoint should hold cannot be read.
type damagedError struct {
	checkpoint job.CheckpointID
	cause      error
}

func (e damagedError) Error() string {
	return fmt.Sprintf("restore checkpoint %d: %v", e.checkpoint, e.cause)
}

func (e damagedError) Unwrap() error { return e.cause }

// restore gives the subtask what it continues from: the states of its operators, of all the
// subtasks that they then had, and, in a bounded job, the outputs of those whose place it takes. (In an unbounded
// job the leader has made them visible before the attempt was committed.)
func (s *subtask) restore() error {
	c := s.x.cfg.Checkpoints
	if c == nil || c.Restore == nil {
		return nil
	}
	vertex := s.x.plan.Graph.Vertices[s.id.Vertex]
	mine := map[string]bool{}
	for _, op := range vertex.Operators {
		mine[op.Name] = true
	}
	var m *checkpoint.Manifest
	states := map[string][]operator.Restored{}
	err := s.patiently(func() (err error) {
		s.wiring.Enter(s.head.Name)
		var from stateReader
		if m, from, err = c.open(s.ctx); err == nil {
			err = s.read(m, from, mine, states)
		}
		return err
	})
	switch {
	case errors.Is(err, storage.ErrDamaged):
		return damagedError{c.Restore.Checkpoint, err}
	case err != nil:
		return fmt.Errorf("restore checkpoint %d: %w", c.Restore.Checkpoint, err)
	}
	inherited, share := map[string][]job.Output{}, map[string][]job.Output{}
	for _, ack := range m.Subtasks {
		for _, o := range ack.Outputs {
			if !m.Bounded || !mine[o.Operator] {
				continue
			}
			inherited[o.Operator] = append(inherited[o.Operator], o.Output)
			if ack.Subtask.Index%vertex.Parallelism == s.id.Index {
				share[o.Operator] = append(share[o.Operator], o.Output)
			}
		}
	}
	s.wiring.Enter(s.head.Name)
	s.wiring.Restore(m.Checkpoint, states, inherited, share)
	failpoint.TaskRestored.Reached()
	return nil
}

// patiently repeats what storage could not do, until it can or the subtask is to end: a storage that is
// away for a while fails no job. What is damaged, or written by a newer version, stays so.
func (s *subtask) patiently(read func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := read()
		if err == nil || errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrNewer) {
			return err
		}
		s.x.cfg.Logger.Warn("storage fails; the state is read again", "subtask", s.id.Index, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			timer.Stop()
			return context.Cause(s.ctx)
		}
	}
}

// stateReader reads the piece of state that a handle names: a storage, or a savepoint.
type stateReader interface {
	ReadState(context.Context, job.StateHandle) ([]byte, error)
	OpenState(context.Context, job.StateHandle) (io.ReadCloser, error)
}

// open reads what the attempt continues from: a checkpoint, or a savepoint, which names no outputs.
func (c *Checkpoints) open(ctx context.Context) (*checkpoint.Manifest, stateReader, error) {
	if c.Restore.Savepoint == "" {
		m, err := c.Storage.Manifest(ctx, c.Restore.Manifest)
		return m, c.Storage, err
	}
	s, err := storage.OpenSavepoint(ctx, c.Restore.Savepoint)
	if err != nil {
		return nil, nil, err
	}
	return &s.Manifest, s, nil
}

// read adds what the operators continue from to states.
func (s *subtask) read(m *checkpoint.Manifest, from stateReader, operators map[string]bool, states map[string][]operator.Restored) (err error) {
	clear(states)
	for name := range operators {
		s.wiring.Enter(name) // whose state it is, should it be damaged
		for _, state := range m.States(name) {
			r := operator.Restored{Handle: state.StateHandle, Subtask: state.Subtask}
			if state.Part != "" && state.File != "" {
				r.Open = s.opener(from, state.StateHandle)
			} else if r.Data, err = s.readPiece(from, state.StateHandle); err != nil {
				return err
			}
			failpoint.TaskRestores.Reached()
			states[name] = append(states[name], r)
		}
	}
	return nil
}

// readPiece reads a piece, here if there is a copy.
func (s *subtask) readPiece(from stateReader, h job.StateHandle) ([]byte, error) {
	if b, ok := s.x.copies.read(h); ok {
		return b, nil
	}
	return from.ReadState(s.ctx, h)
}

// uploads writes what barriers bring, one checkpoint at a time, while the subtask goes on. An
// upload that is overtaken by the next checkpoint is given up: its id is closed.
type uploads struct {
	mu      sync.Mutex
	ended   bool             // the subtask has come to its end: nothing of it changes any more
	pending job.CheckpointID // announced; of an ended subtask, to be contributed to
	base    job.CheckpointID // of pending
	told    chan struct{}    // closed by the next announcement; nil: nobody waits
	closed  bool             // what keeps the states is closed
	cancel  context.CancelFunc
}

// begin starts to write p.
func (u *uploads) begin(s *subtask, p operator.Prepared, finished bool) {
	c := s.x.cfg.Checkpoints
	if c == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.x.ctx)
	u.mu.Lock()
	if u.cancel != nil {
		u.cancel()
	}
	u.cancel = cancel
	u.mu.Unlock()
	s.x.uploads.Go(func() {
		defer cancel()
		failpoint.TaskSnapshotted.Reached()
		var ack job.Acknowledgement
		operator.Guarded(func() error { ack = s.upload(ctx, p); return nil }, func(err error) {
			if err != nil { // a panic of the type's own encoder
				ack = job.Acknowledgement{Checkpoint: p.Checkpoint, Subtask: s.id, Failure: clip(err.Error())}
			}
		})
		ack.Finished = finished
		if ctx.Err() == nil {
			failpoint.TaskUploaded.Reached()
			s.x.copies.acknowledged(ack)
			c.Acknowledge(ack)
			failpoint.TaskAcknowledged.Reached()
		}
	})
}

// announced contributes an ended subtask's final state; a running one's comes with the barrier.
func (u *uploads) announced(s *subtask, id, base job.CheckpointID) {
	u.mu.Lock()
	if id > u.pending {
		u.pending, u.base = id, base
	}
	if u.told != nil {
		close(u.told)
		u.told = nil
	}
	ended := u.ended
	u.mu.Unlock()
	if ended {
		u.final(s)
	}
}

// end says that the subtask has come to its end.
func (u *uploads) end(s *subtask) {
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	u.final(s)
}

// close closes what keeps the subtask's states: it contributes nothing any more.
func (u *uploads) close(s *subtask) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if err := guarded(s.wiring.Close); err != nil {
		s.x.cfg.Logger.Warn("the state was not closed cleanly", "subtask", s.id.Index, "error", err)
	}
}

// final contributes the final state to what is pending.
func (u *uploads) final(s *subtask) {
	if s.x.cfg.Checkpoints == nil {
		return
	}
	id, p, ok, err := u.prepare(s)
	switch {
	case err != nil:
		s.x.cfg.Checkpoints.Acknowledge(job.Acknowledgement{Checkpoint: id, Subtask: s.id, Failure: clip(err.Error())})
	case ok:
		u.begin(s, p, true)
	}
}

// prepare takes the final state for what is pending. A panic of a type's own code is its error.
func (u *uploads) prepare(s *subtask) (id job.CheckpointID, p operator.Prepared, ok bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if id = u.pending; id == 0 || u.closed {
		return id, p, false, nil
	}
	operator.Guarded(func() (err error) {
		p, ok, err = s.wiring.Final(id)
		return err
	}, func(e error) { err = e })
	return id, p, ok, err
}

// upload stores what p holds, and returns the acknowledgement of it.
func (s *subtask) upload(ctx context.Context, p operator.Prepared) job.Acknowledgement {
	ack := job.Acknowledgement{Checkpoint: p.Checkpoint, Subtask: s.id, Outputs: p.Outputs, Paused: int64(p.Paused / time.Nanosecond)}
	for i, snapshot := range p.Snapshots {
		handles, err := s.store(ctx, p.Checkpoint, i, snapshot)
		if err != nil {
			release(p.Snapshots[i+1:])
			ack.States, ack.Failure = nil, clip(fmt.Sprintf("operator %q, subtask %d: %v", snapshot.Handle.Operator, s.id.Index, err))
			return ack
		}
		ack.States = append(ack.States, handles...)
	}
	return ack
}
