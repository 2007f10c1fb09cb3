package disk

import (
	"errors"
	"fmt"
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

	mu        sync.Mutex
	users     int // backends, and snapshots that are being stored
	opened    int // backends so far: the names of their directories
	memtables int64
	cache     *pebble.Cache
	files     *pebble.FileCache
	dir       *directory
}

const (
	// A backend has at most three memtables: one that is written to, one that is being flushed, and
	// one that is kept for the next.
	memtablesEach = 3
	smallest      = 256 << 10 // bytes of a memtable
	largest       = 64 << 20
	// Room for so many operators is planned for in each subtask: beyond that they get less.
	operatorsPlanned = 2
	openFiles        = 1 << 10
)

// Open opens a backend in a directory of its own.
func (s *store) Open(p state.Place) (state.Backend, error) {
	dir, memtable, err := s.enter(p)
	if err != nil {
		return nil, fmt.Errorf("open the state of operator %q on disk: %w", p.Operator, err)
	}
	b := &backend{store: s, dir: dir, memtable: memtable, place: p, broken: make(chan struct{})}
	if err := b.open(); err != nil {
		err = errors.Join(err, b.discard())
		return nil, fmt.Errorf("open the state of operator %q on disk: %w", p.Operator, err)
	}
	return b, nil
}

// enter gives a backend its directory and its share of the memory.
func (s *store) enter(p state.Place) (dir string, memtable int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if memtable, err = s.share(p.Parallelism); err != nil {
		return "", 0, err
	}
	if s.users == 0 {
		if err := s.begin(p); err != nil {
			return "", 0, err
		}
	}
	s.users++
	s.opened++
	s.memtables += memtable
	return filepath.Join(s.dir.path, strconv.Itoa(s.opened)), memtable, nil
}

// share is how large the memtables of the next backend may be: together those of all take at most three
// quarters of the budget. Memtables are a part of the cache (Pebble reserves them there), so that cache and
// memtables together keep within it.
func (s *store) share(parallelism int) (int64, error) {
	most := s.pebbles() * 3 / 4 / memtablesEach
	left := most - s.memtables
	size := min(most/int64(max(parallelism, 1))/operatorsPlanned, left/4, largest) // of what is left, so that there is some for the next
	if size = max(size, smallest); size > left {
		return 0, fmt.Errorf("the budget of %d bytes is too small for %d operators and subtasks in one process, of which each needs %d; raise disk.Budget",
			s.budget, s.users+1, smallest*memtablesEach*4/3*allocated)
	}
	return size, nil
}

// pebbles is how much of the budget Pebble may allocate. Blocks come in many sizes, and what it allocates was
// measured to take up to 2.3 times its size in the memory of the process.
func (s *store) pebbles() int64 { return s.budget / allocated }

const allocated = 2

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

// leave gives back what a backend had; a snapshot has no memtables.
func (s *store) leave(memtable int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memtables -= memtable
	if s.users--; s.users > 0 {
		return nil
	}
	s.files.Unref()
	s.cache.Unref()
	s.files, s.cache = nil, nil
	return s.dir.remove()
}
