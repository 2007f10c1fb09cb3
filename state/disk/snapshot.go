package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// A snapshot takes three steps.
//
// On the record path the memtable is rotated: the one that was written to is flushed in the background, and
// another one takes its place. That is all of the pause.
//
// When it is flushed, a goroutine of the backend's captures the tree: its files are linked into a directory of the
// snapshot's own (Pebble's Checkpoint). They hold what was written until the rotation, and nothing that came after it,
// as long as no second rotation comes in between. Pebble rotates by itself when a memtable is full: so until
// the capture the record path writes no more than certainly fits, and then waits. That this holds is not
// believed: each file tells the last write in it, and one that came later fails the snapshot.
//
// Then whoever has the snapshot stores the files, but for those that the base has. The record path does not depend
// on when, or whether, that is.
//
// Rejected: a flush on the record path (it would stand still for as long as 64 MB take to be written);
// Pebble's EventuallyFileOnlySnapshot (it does not tell its files, and they may hold later writes).

// capture is a snapshot on its way into a directory.
type capture struct {
	flushed <-chan struct{}
	through uint64 // sequence number of the last write in it
	dir     string

	done  chan struct{} // closed when what follows is set
	files []file
	err   error
}

// Snapshot returns the backend as it is now.
func (b *backend) Snapshot(states []job.StateType) ([]state.Snapshot, error) {
	if err := b.failed(); err != nil {
		return nil, err
	}
	c, err := b.rotate()
	if err != nil {
		return nil, err
	}
	snapshots := make([]state.Snapshot, 0, len(states)+1)
	for _, t := range states {
		if t.Kind != job.TimersState { // those are in memory
			snapshots = append(snapshots, state.Empty(t))
		}
	}
	b.store.use()
	put := func(p state.Pieces) (handles []job.StateHandle, err error) {
		defer func() { err = errors.Join(err, os.RemoveAll(c.dir), b.store.leave(share{})) }()
		<-c.done
		if c.err != nil {
			return nil, c.err
		}
		return b.upload(c, p)
	}
	return append(snapshots, state.Snapshot{Handle: job.StateHandle{Kind: job.StoreState}, Store: put}), nil
}

// rotate ends the memtable. What is written from now on is in another one.
func (b *backend) rotate() (*capture, error) {
	c := &capture{done: make(chan struct{}), dir: b.captureDir()}
	if b.pending != nil { // a second rotation would add to it
		<-b.pending.done
	}
	mark := b.db.NewBatch()
	defer mark.Close()
	if err := mark.Set(markKey(b.first), nil, nil); err != nil {
		return nil, err
	}
	if err := b.db.Apply(mark, pebble.NoSync); err != nil {
		return nil, err
	}
	c.through = uint64(mark.SeqNum())
	flushed, size, err := b.flush()
	if err != nil {
		return nil, err
	}
	c.flushed, b.room = flushed, size*7/8-4096
	b.pending = c
	b.captures.Go(func() {
		defer close(c.done)
		c.files, c.err = b.capture(c)
	})
	return c, nil
}

// flush rotates the memtable, and returns how large the new one is at least. Pebble's begin small and grow to
// the full size: from then on it is not asked, as its answer may wait for what it does in the background.
func (b *backend) flush() (flushed <-chan struct{}, size int64, err error) {
	if b.grown {
		flushed, err = b.db.AsyncFlush()
		return flushed, b.share.memtable, err
	}
	before := b.db.Metrics().MemTable
	if flushed, err = b.db.AsyncFlush(); err != nil {
		return nil, 0, err
	}
	after := b.db.Metrics().MemTable
	size = smallest
	switch after.Count {
	case 1: // the one before is flushed already
		size = int64(after.Size)
	case before.Count + 1:
		size = int64(after.Size) - int64(before.Size)
	}
	b.grown = size >= b.share.memtable
	return flushed, size, nil
}

// nodeSize is more than what an entry of a memtable takes beside its key and value, on average.
const nodeSize = 80

// await makes sure that what is written fits into the memtable while a snapshot is not captured yet.
func (b *backend) await(size int64) {
	b.room -= size + nodeSize
	if b.room > 0 && size < b.share.memtable/4 { // a large value gets a memtable of its own
		return
	}
	<-b.pending.done
	b.pending = nil
}

// capture links the files of the tree into the directory of the snapshot, and returns them.
func (b *backend) capture(c *capture) ([]file, error) {
	select {
	case <-c.flushed:
	case <-b.broken:
		return nil, b.failed()
	}
	for {
		known := map[string]file{}
		if err := b.tables(known); err != nil {
			return nil, err
		}
		if err := b.db.Checkpoint(c.dir); err != nil {
			return nil, err
		}
		if err := b.tables(known); err != nil {
			return nil, err
		}
		files, complete, err := c.list(known)
		if complete || err != nil {
			return files, err
		}
		// A file came and went while the others were linked: nothing is known of it.
		if err := os.RemoveAll(c.dir); err != nil {
			return nil, err
		}
	}
}

// tables adds the files that the tree has now.
func (b *backend) tables(known map[string]file) error {
	levels, err := b.db.SSTables()
	if err != nil {
		return err
	}
	for _, tables := range levels {
		for _, t := range tables {
			name := fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))
			known[name] = file{Name: name, First: groupOf(t.Smallest.UserKey), Last: groupOf(t.Largest.UserKey), through: uint64(t.LargestSeqNum)}
		}
	}
	return nil
}

func groupOf(key []byte) int {
	if len(key) < 2 {
		return 0
	}
	return int(key[0])<<8 | int(key[1])
}

const tableSuffix = ".sst"

// list lists what was captured.
func (c *capture) list(known map[string]file) (files []file, complete bool, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), tableSuffix) {
			continue
		}
		f, ok := known[e.Name()]
		if !ok {
			return nil, false, nil
		}
		if f.through > c.through {
			return nil, false, fmt.Errorf("file %s has writes up to %d, the snapshot ends with %d", f.Name, f.through, c.through)
		}
		files = append(files, f)
	}
	return files, true, nil
}

// upload stores what the base does not have.
func (b *backend) upload(c *capture, p state.Pieces) ([]job.StateHandle, error) {
	base, err := p.Base()
	if err != nil {
		return nil, err
	}
	before := b.bases.of(base)
	pieces := map[string]job.StateHandle{}
	var handles []job.StateHandle
	for _, f := range c.files {
		h, there := before[f.Name]
		if !there {
			if h, err = p.Put(part(f.Name), sendFile(filepath.Join(c.dir, f.Name))); err != nil {
				return nil, err
			}
		}
		pieces[f.Name] = h
		handles = append(handles, h)
	}
	x := index{Subtask: b.place.Subtask, Parallelism: b.place.Parallelism, Groups: b.place.Groups, Files: c.files}
	if err := x.readRest(c.dir); err != nil {
		return nil, err
	}
	h, err := p.Put(part(indexName), x.write)
	if err != nil {
		return nil, err
	}
	b.bases.add(p.Checkpoint(), base, pieces)
	return append(handles, h), nil
}

func part(name string) job.StateHandle { return job.StateHandle{Kind: job.StoreState, Part: name} }

func sendFile(path string) func(io.Writer) error {
	return func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
}

// bases are the checkpoints that a later one may build on, with the handles of their files: those whose
// snapshots were stored to the end. Which of them were completed the trigger tells.
type bases struct {
	mu  sync.Mutex
	all map[job.CheckpointID]map[string]job.StateHandle
}

// of returns what the base has, and nothing if it is not known.
func (s *bases) of(base job.CheckpointID) map[string]job.StateHandle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[base]
}

// add notes a checkpoint, and forgets those before its base, which are nobody's base any more.
func (s *bases) add(id, base job.CheckpointID, pieces map[string]job.StateHandle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[job.CheckpointID]map[string]job.StateHandle{}
	}
	for known := range s.all {
		if known < base {
			delete(s.all, known)
		}
	}
	s.all[id] = pieces
}
