package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perennial-io/perennial/internal/state"
)

// backend is the store of one operator in one subtask. What is below "snapshots" other goroutines may use.
type backend struct {
	store *store
	dir   string // of its files; snapshots are beside it
	share share
	place state.Place
	first int // key group of those that it has, and
	last  int
	db    *pebble.DB
	rows  *rows
	held  io.Closer // of the value that Get returned last

	grown   bool     // every further memtable is of the full size
	pending *capture // nil: none, or it was seen to be captured
	room    int64    // bytes that are written at most until pending is captured
	taken   int      // snapshots so far

	closed bool

	// snapshots:
	captures sync.WaitGroup
	failure  atomic.Pointer[error] // of the disk, in the background
	broken   chan struct{}         // closed when failure is set
	bases    bases
}

// formatVersion is that of the files. A later one can be read by later programs alone.
const formatVersion = pebble.FormatTableFormatV6

// manifestMost is how long Pebble's own list of changes may become: each checkpoint has it.
const manifestMost = 64 << 10

func (b *backend) options() *pebble.Options {
	o := &pebble.Options{
		Cache:                       b.store.cache,
		FileCache:                   b.store.files,
		FS:                          unsynced{vfs.Default},
		DisableWAL:                  true,
		FormatMajorVersion:          formatVersion,
		MemTableSize:                uint64(b.share.memtable),
		MemTableStopWritesThreshold: 3, // with 2, a barrier waits for the flush of a memtable that was full
		MaxManifestFileSize:         manifestMost,
		L0CompactionThreshold:       12, // with less, every few checkpoints rewrite much of the tree; with more, reads ask too many files
		L0StopWritesThreshold:       48,
		Logger:                      silent{},
		EventListener:               &pebble.EventListener{BackgroundError: b.fail},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// open opens the store with what is restored.
func (b *backend) open() (err error) {
	var ok bool
	if b.first, b.last, ok = b.place.Owned(); !ok {
		return fmt.Errorf("subtask %d of %d has none of the %d key groups", b.place.Subtask, b.place.Parallelism, b.place.Groups)
	}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return err
	}
	if b.rows, err = newRows(b.share.rows); err != nil {
		return err
	}
	from, err := readIndexes(b.place.Restored)
	if err != nil {
		return err
	}
	if len(from) == 1 && from[0].samePlace(b.place) {
		if err := b.bring(from[0]); err != nil {
			return err
		}
		b.db, err = pebble.Open(b.dir, b.options())
		return err
	}
	if b.db, err = pebble.Open(b.dir, b.options()); err != nil {
		return err
	}
	return b.merge(from)
}

// discard removes everything.
func (b *backend) discard() error {
	var err error
	if b.db != nil {
		err = b.db.Close()
	}
	if b.rows != nil {
		err = errors.Join(err, b.rows.close())
	}
	return errors.Join(err, os.RemoveAll(b.dir), b.store.leave(b.share))
}

// Close ends the backend and removes its files. Snapshots may still be stored.
func (b *backend) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.captures.Wait()
	b.release()
	return b.discard()
}

// fail notes what the disk could not do. A write that was accepted is lost then, and so is the store.
func (b *backend) fail(err error) {
	err = fmt.Errorf("the files in %s cannot be written: %w", b.store.dir.path, err)
	if b.failure.CompareAndSwap(nil, &err) {
		close(b.broken)
	}
}

func (b *backend) failed() error {
	if err := b.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *backend) release() {
	if b.held != nil {
		b.held.Close()
		b.held = nil
	}
}

func (b *backend) Get(key []byte) ([]byte, bool, error) {
	b.release()
	if value, ok := b.rows.get(key); ok {
		return value, true, nil
	}
	value, held, err := b.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	b.held = held
	b.rows.put(key, value)
	return value, true, nil
}

func (b *backend) Set(key, value []byte) error {
	if err := b.changing(key, value); err != nil {
		return err
	}
	if err := b.db.Set(key, value, pebble.NoSync); err != nil {
		return err
	}
	b.rows.put(key, value) // last: value may be what is in there
	return nil
}

func (b *backend) Append(key, more []byte) error {
	if err := b.changing(key, more); err != nil {
		return err
	}
	b.rows.drop(key)
	return b.db.Merge(key, more, pebble.NoSync)
}

func (b *backend) Delete(key []byte) error {
	if err := b.changing(key, nil); err != nil {
		return err
	}
	b.rows.drop(key)
	return b.db.Delete(key, pebble.NoSync)
}

// changing is called before each write.
func (b *backend) changing(key, value []byte) error {
	if b.pending != nil {
		b.await(int64(len(key) + len(value)))
	}
	return b.failed()
}

func (b *backend) Scan(from, to []byte, each func(key, value []byte) bool) error {
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !each(it.Key(), value) {
			break
		}
	}
	return it.Close() // it has Error's too
}

// groupKey is the first key of a group, which no state has: their names are not empty.
func groupKey(group int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(group)) }

// markKey is a key that no state has, as their names are not empty.
func markKey(group int) []byte { return append(groupKey(group), 0) }

func isMark(key []byte) bool { return len(key) == 3 && key[2] == 0 }

// silent is Pebble's logger: what it has to say comes as an error.
type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// captureDir is where a snapshot keeps its files until they are stored.
func (b *backend) captureDir() string {
	b.taken++
	return fmt.Sprintf("%s-%d", b.dir, b.taken)
}
