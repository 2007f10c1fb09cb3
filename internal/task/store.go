package task

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/storage"
)

// inlineMost is how large a state may be that travels in the acknowledgement itself, in bytes.
const inlineMost = 4 << 10

// store stores a snapshot, the i-th of the subtask, and returns where it is.
func (s *subtask) store(ctx context.Context, id job.CheckpointID, i int, snapshot operator.Snapshot) ([]job.StateHandle, error) {
	p := &pieces{ctx: ctx, s: s, id: id, name: fmt.Sprintf("state-%d-%d-%d", s.id.Vertex, s.id.Index, i)}
	switch {
	case snapshot.Store != nil:
		handles, err := snapshot.Store(p)
		for i := range handles {
			handles[i].Operator = snapshot.Handle.Operator
		}
		return handles, err
	case snapshot.Write == nil && len(snapshot.Data) <= inlineMost:
		return []job.StateHandle{storage.InlineState(snapshot.Handle, snapshot.Data)}, nil
	}
	write := snapshot.Write
	if write == nil {
		write = func(w io.Writer) error { _, err := w.Write(snapshot.Data); return err }
	}
	written := false
	once := func(w io.Writer) error { written = true; return write(w) }
	h, err := p.file(snapshot.Handle, p.name, once)
	if !written {
		release([]operator.Snapshot{snapshot})
	}
	return []job.StateHandle{h}, err
}

// pieces is where a snapshot of a subtask is stored.
type pieces struct {
	ctx  context.Context // ends when the checkpoint is given up
	s    *subtask
	id   job.CheckpointID
	name string
}

func (p *pieces) Checkpoint() job.CheckpointID { return p.id }

// Base waits for the trigger: a barrier may overtake it.
func (p *pieces) Base() (job.CheckpointID, error) {
	for {
		base, told, err := p.s.uploads.baseOf(p.id)
		if told == nil || err != nil {
			return base, err
		}
		select {
		case <-told:
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		}
	}
}

var errOvertaken = errors.New("a later checkpoint was triggered")

// baseOf returns the base of a checkpoint, or what is closed when it may be known.
func (u *uploads) baseOf(id job.CheckpointID) (base job.CheckpointID, told <-chan struct{}, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.pending == id:
		return u.base, nil, nil
	case u.pending > id:
		return 0, nil, errOvertaken
	case u.told == nil:
		u.told = make(chan struct{})
	}
	return 0, u.told, nil
}

// Put stores a small piece in the handle, any other in a file.
func (p *pieces) Put(h job.StateHandle, write func(io.Writer) error) (job.StateHandle, error) {
	if err := p.ctx.Err(); err != nil {
		return h, err
	}
	var small atMost
	switch err := write(&small); {
	case err == nil:
		return storage.InlineState(h, small.taken), nil
	case !errors.Is(err, errNotSmall):
		return h, err
	}
	return p.file(h, p.name+"-"+h.Part, write)
}

func (p *pieces) file(h job.StateHandle, name string, write func(io.Writer) error) (_ job.StateHandle, err error) {
	cfg := p.s.x.cfg
	beside := p.s.x.copies.begin()
	h.File, h.Size, h.CRC, err = cfg.Checkpoints.Storage.PutState(p.ctx, cfg.Job, p.id, cfg.Attempt, name, func(w io.Writer) error {
		return beside.through(w, write)
	})
	beside.end(h.File, err)
	return h, err
}

var errNotSmall = errors.New("the state is not small")

// atMost takes no more than what is small.
// It can be written to and no more: a bytes.Buffer would read a file by itself, all of it, when io.Copy asks it to.
type atMost struct{ taken []byte }

func (a *atMost) Write(b []byte) (int, error) {
	if len(a.taken)+len(b) > inlineMost {
		return 0, errNotSmall
	}
	a.taken = append(a.taken, b...)
	return len(b), nil
}

// release lets go of snapshots that are not stored: each is to be written once, were it to nowhere.
func release(snapshots []operator.Snapshot) {
	for _, s := range snapshots {
		switch {
		case s.Store != nil:
			_, _ = s.Store(nowhere{}) // it fails, as it should
		case s.Write != nil:
			_ = s.Write(nowhere{}) // likewise
		}
	}
}

type nowhere struct{}

var errGivenUp = errors.New("the snapshot is given up")

func (nowhere) Write([]byte) (int, error)       { return 0, errGivenUp }
func (nowhere) Checkpoint() job.CheckpointID    { return 0 }
func (nowhere) Base() (job.CheckpointID, error) { return 0, errGivenUp }
func (nowhere) Put(h job.StateHandle, _ func(io.Writer) error) (job.StateHandle, error) {
	return h, errGivenUp
}

// opener reads a piece that is restored, as it is needed.
func (s *subtask) opener(at stateReader, h job.StateHandle) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		if f := s.x.copies.open(h); f != nil {
			return f, nil
		}
		r := &restoring{s: s, at: at, handle: h}
		return r, r.open()
	}
}

// restoring reads a piece, and goes on where it was after the storage has failed for a while.
type restoring struct {
	s      *subtask
	at     stateReader
	handle job.StateHandle
	from   io.ReadCloser
	size   int64 // that was read
}

// open opens the piece, patiently, behind what was read of it before.
func (r *restoring) open() error {
	err := r.s.patiently(func() (err error) {
		if r.from != nil {
			r.from.Close()
		}
		if r.from, err = r.at.OpenState(r.s.ctx, r.handle); err == nil {
			_, err = io.CopyN(io.Discard, r.from, r.size)
		}
		return err
	})
	return r.damaged(err)
}

func (r *restoring) damaged(err error) error {
	if errors.Is(err, storage.ErrDamaged) {
		return damagedError{r.s.x.cfg.Checkpoints.Restore.Checkpoint, err}
	}
	return err
}

func (r *restoring) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.size += int64(n)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, storage.ErrDamaged) {
		return n, r.damaged(err)
	}
	return n, r.open()
}

func (r *restoring) Close() error {
	if r.from == nil {
		return nil
	}
	return r.from.Close()
}
