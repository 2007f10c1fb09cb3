package task

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/storage"
)

// Checkpoints is how an execution takes part in checkpoints.
type Checkpoints struct {
	Storage *storage.Storage
	// Restore is what the attempt continues from; nil: it begins at the beginning.
	Restore *checkpoint.Manifest
	// Acknowledge is told what each subtask contributes, from several goroutines.
	Acknowledge func(job.Acknowledgement)

	damaged error // why the manifest of Restore could not be read
}

// Trigger begins a checkpoint in every subtask that is here: those that read from outside begin
// its barrier, those that have ended contribute their final state, the others wait for the barrier.
func (x *Execution) Trigger(id job.CheckpointID) {
	for _, s := range x.subtasks {
		s.wiring.Announce(id)
		s.uploads.announced(s, id)
	}
}

// Closed says that the checkpoint is completed or aborted, and whether the outputs that it named
// are visible.
func (x *Execution) Closed(id job.CheckpointID, published bool) {
	if !published {
		return
	}
	for _, s := range x.subtasks {
		s.wiring.Published(id)
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
	if c.damaged != nil {
		return damagedError{c.Restore.Checkpoint, c.damaged}
	}
	vertex := s.x.plan.Graph.Vertices[s.id.Vertex]
	mine := map[string]bool{}
	for _, op := range vertex.Operators {
		mine[op.Name] = true
	}
	states, outputs := map[string][]operator.Restored{}, map[string][]job.Output{}
	for _, ack := range c.Restore.Subtasks {
		for _, h := range ack.States {
			if !mine[h.Operator] {
				continue
			}
			data, err := c.Storage.ReadState(s.ctx, h)
			if errors.Is(err, storage.ErrDamaged) {
				return damagedError{c.Restore.Checkpoint, err}
			}
			if err != nil {
				return fmt.Errorf("restore checkpoint %d: %w", c.Restore.Checkpoint, err)
			}
			states[h.Operator] = append(states[h.Operator], operator.Restored{Subtask: ack.Subtask.Index, Data: data})
		}
		for _, o := range ack.Outputs {
			if c.Restore.Bounded && mine[o.Operator] && ack.Subtask.Index%vertex.Parallelism == s.id.Index {
				outputs[o.Operator] = append(outputs[o.Operator], o.Output)
			}
		}
	}
	s.wiring.Restore(c.Restore.Checkpoint, states, outputs)
	return nil
}

// inlineMost is how large a state may be that travels in the acknowledgement itself, in bytes.
const inlineMost = 4 << 10

// uploads writes what barriers bring, one checkpoint at a time, while the subtask goes on. An
// upload that is overtaken by the next checkpoint is given up: its id is closed.
type uploads struct {
	mu      sync.Mutex
	ended   bool             // the subtask has come to its end: nothing of it changes any more
	pending job.CheckpointID // announced; of an ended subtask, to be contributed to
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
		ack := s.upload(ctx, p)
		ack.Finished = finished
		if ctx.Err() == nil {
			c.Acknowledge(ack)
		}
	})
}

// announced contributes an ended subtask's final state; a running one's comes with the barrier.
func (u *uploads) announced(s *subtask, id job.CheckpointID) {
	u.mu.Lock()
	u.pending = max(u.pending, id)
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

// final contributes the final state to what is pending. finals serialises its callers.
func (u *uploads) final(s *subtask) {
	if s.x.cfg.Checkpoints == nil {
		return
	}
	u.mu.Lock()
	id := u.pending
	var p operator.Prepared
	ok, err := false, error(nil)
	if id > 0 {
		p, ok, err = s.wiring.Final(id)
	}
	u.mu.Unlock()
	switch {
	case err != nil:
		s.x.cfg.Checkpoints.Acknowledge(job.Acknowledgement{Checkpoint: id, Subtask: s.id, Failure: err.Error()})
	case ok:
		u.begin(s, p, true)
	}
}

// upload stores what p holds, and returns the acknowledgement of it.
func (s *subtask) upload(ctx context.Context, p operator.Prepared) job.Acknowledgement {
	ack := job.Acknowledgement{Checkpoint: p.Checkpoint, Subtask: s.id, Outputs: p.Outputs, Paused: int64(p.Paused / time.Nanosecond)}
	for i, snapshot := range p.Snapshots {
		h, err := s.store(ctx, p.Checkpoint, i, snapshot)
		if err != nil {
			ack.States, ack.Failure = nil, clip(fmt.Sprintf("operator %q, subtask %d: %v", snapshot.Operator, s.id.Index, err))
			return ack
		}
		ack.States = append(ack.States, h)
	}
	return ack
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *subtask) store(ctx context.Context, id job.CheckpointID, i int, snapshot operator.Snapshot) (job.StateHandle, error) {
	h := job.StateHandle{Operator: snapshot.Operator}
	if snapshot.Write == nil && len(snapshot.Data) <= inlineMost {
		h.Data, h.Size, h.CRC = snapshot.Data, int64(len(snapshot.Data)), crc32.Checksum(snapshot.Data, castagnoli)
		return h, nil
	}
	write := snapshot.Write
	if write == nil {
		write = func(w io.Writer) error { _, err := w.Write(snapshot.Data); return err }
	}
	name := fmt.Sprintf("state-%d-%d-%d", s.id.Vertex, s.id.Index, i)
	var err error
	h.File, h.Size, h.CRC, err = s.x.cfg.Checkpoints.Storage.PutState(ctx, s.x.cfg.Job, id, s.x.cfg.Attempt, name, write)
	return h, err
}
