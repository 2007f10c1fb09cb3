package task

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/perennial-io/perennial/internal/job"
)

// copies are state files that the job's processes on this TaskManager wrote, kept beside a storage that is
// elsewhere: an attempt that comes here again need not fetch them. Nothing depends on them. One that is missing, or
// is not what a handle says, is read from storage; one that cannot be written is not kept.
type copies struct {
	dir string // "": none are kept

	mu    sync.Mutex
	named map[job.CheckpointID]map[string]bool // what the subtasks here acknowledged, by checkpoint
}

// newCopies returns the copies in a directory, which is made when it is needed.
func newCopies(dir string) *copies {
	return &copies{dir: dir, named: map[job.CheckpointID]map[string]bool{}}
}

func (c *copies) path(file string) string {
	return filepath.Join(c.dir, strings.ReplaceAll(file, "/", "_"))
}

// copying is one copy while it is written.
type copying struct {
	c      *copies
	file   *os.File
	failed bool
}

// begin begins a copy; nil: none is kept.
func (c *copies) begin() *copying {
	if c.dir == "" || os.MkdirAll(c.dir, 0o755) != nil {
		return nil
	}
	f, err := os.CreateTemp(c.dir, ".copy-")
	if err != nil {
		return nil
	}
	return &copying{c: c, file: f}
}

// through has write write to the storage and to the copy.
func (k *copying) through(to io.Writer, write func(io.Writer) error) error {
	if k == nil {
		return write(to)
	}
	return write(io.MultiWriter(to, k))
}

// Write never fails: the storage's copy is the one that counts.
func (k *copying) Write(b []byte) (int, error) {
	if !k.failed {
		_, err := k.file.Write(b)
		k.failed = err != nil
	}
	return len(b), nil
}

// end keeps the copy under the name of what was stored, if it was.
func (k *copying) end(file string, err error) {
	if k == nil {
		return
	}
	name := k.file.Name()
	if errors.Join(err, k.file.Close()) != nil || k.failed || os.Rename(name, k.c.path(file)) != nil {
		_ = os.Remove(name) // the TaskManager removes all of them in time
	}
}

// acknowledged notes what a subtask names in a checkpoint.
func (c *copies) acknowledged(ack job.Acknowledgement) {
	if c.dir == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	files := c.named[ack.Checkpoint]
	if files == nil {
		files = map[string]bool{}
		c.named[ack.Checkpoint] = files
	}
	for _, h := range ack.States {
		files[filepath.Base(c.path(h.File))] = true
	}
}

// completed removes the copies that neither a checkpoint, which is completed, nor a later one names.
func (c *copies) completed(id job.CheckpointID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" || c.named[id] == nil {
		return
	}
	keep := map[string]bool{}
	for n, files := range c.named {
		if n < id {
			delete(c.named, n)
			continue
		}
		for f := range files {
			keep[f] = true
		}
	}
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		if !keep[e.Name()] && e.Name()[0] != '.' {
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
}

// open returns the copy of a piece, once all of it was found to be what the handle says; nil: there is none.
func (c *copies) open(h job.StateHandle) *os.File {
	if c.dir == "" || h.File == "" {
		return nil
	}
	f, err := os.Open(c.path(h.File))
	if err != nil {
		return nil
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	size, err := io.Copy(sum, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil || size != h.Size || sum.Sum32() != h.CRC {
		f.Close()
		return nil
	}
	return f
}

// read returns the content of the copy of a piece, if there is one.
func (c *copies) read(h job.StateHandle) ([]byte, bool) {
	f := c.open(h)
	if f == nil {
		return nil, false
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return b, err == nil
}
