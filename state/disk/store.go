package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/perennial-io/perennial/internal/state"
)

// store is what the backends of one process share. The first one that is opened makes it, and the last that
// is closed takes it apart.
type store struct {
	options

	fit    sync.Once
	mu     sync.Mutex
	users  int // backends, and snapshots that are being stored
	opened int // backends so far: the names of their directories
	taken  share
	cache  *pebble.Cache
	files  *pebble.FileCache
	dir    *directory
}

// share is what a backend has of the memory for itself, in bytes.
type share struct {
	memtable int64 // each of its memtables, at most
	rows     int64
}

const (
	// A backend has at most four memtables: one that is written to, two that are being flushed, as a barrier may end
	// one while another that was full is under way, and one that is kept for the next.
	memtablesEach = 4
	smallest      = 128 << 10 // bytes of a memtable
	largest       = 64 << 20
	// Room for so many operators is planned for in each subtask: beyond that they get less.
	operatorsPlanned = 2
	openFiles        = 1 << 10
)

// Open opens a backend in a directory of its own.
func (s *store) Open(p state.Place) (state.Backend, error) {
	dir, share, err := s.enter(p)
	if err != nil {
		return nil, fmt.Errorf("open the state of operator %q on disk: %w", p.Operator, err)
	}
	b := &backend{store: s, dir: dir, share: share, place: p, broken: make(chan struct{})}
	if err := b.open(); err != nil {
		err = errors.Join(err, b.discard())
		return nil, fmt.Errorf("open the state of operator %q on disk: %w", p.Operator, err)
	}
	return b, nil
}

// enter gives a backend its directory and its share of the memory.
func (s *store) enter(p state.Place) (dir string, its share, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fit.Do(func() { s.fitInto(os.Getenv(memoryVariable)) })
	if its, err = s.share(p.Parallelism); err != nil {
		return "", its, err
	}
	if s.users == 0 {
		if err := s.begin(p); err != nil {
			return "", its, err
		}
	}
	s.users++
	s.opened++
	s.taken.memtable += its.memtable
	s.taken.rows += its.rows
	return filepath.Join(s.dir.path, strconv.Itoa(s.opened)), its, nil
}

// share is what the next backend has. The memtables of all take at most three quarters of what is Pebble's, and
// are a part of its cache (Pebble reserves them there), so that cache and memtables together keep within that.
func (s *store) share(parallelism int) (share, error) {
	planned := int64(max(parallelism, 1)) * operatorsPlanned
	memtables := s.pebbles() * 3 / 4 / memtablesEach
	left := memtables - s.taken.memtable
	memtable := max(min(memtables/planned, left/4, largest), smallest) // of what is left, so that there is some for the next
	if memtable > left {
		return share{}, fmt.Errorf("the budget of %d bytes is too small for %d operators and subtasks in one process, of which each needs %d; raise disk.Budget",
			s.budget, s.users+1, smallest*memtablesEach*4/3*allocated*rowsPart/(rowsPart-1))
	}
	most := s.budget / rowsPart
	return share{memtable, min(most/planned, (most-s.taken.rows)/2)}, nil
}

// pebbles is how much of the budget Pebble may allocate. Blocks come in many sizes, and what it allocates was
// measured to take up to 2.3 times its size in the memory of the process.
func (s *store) pebbles() int64 { return (s.budget - s.budget/rowsPart) / allocated }

const (
	allocated = 2
	rowsPart  = 3 // rows are one of so many parts of the budget
)

func (s *store) begin(p state.Place) error {
	parent := s.directory
	if parent == "" {
		parent = p.Directory
	}
	dir, err := makeDirectory(parent)
	if err != nil {
		return err
	}
	s.dir, s.cache, s.files = dir, pebble.NewCache(s.pebbles()), pebble.NewFileCache(4, openFiles)
	return nil
}

// use keeps the directory until leave.
func (s *store) use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
}

// leave gives back what a backend had; a snapshot has nothing.
func (s *store) leave(its share) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.memtable -= its.memtable
	s.taken.rows -= its.rows
	if s.users--; s.users > 0 {
		return nil
	}
	s.files.Unref()
	s.cache.Unref()
	s.files, s.cache = nil, nil
	return s.dir.remove()
}
