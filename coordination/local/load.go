package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/internal/state"
)

// The file's layout: in bucket "meta", "format" is the layout's number, "record" the epoch
// record as JSON, "last" the newest version given; in bucket "entries", each key has its
// version and its value. Every value is preceded by a CRC-32C of its key and itself.
var (
	metaBucket, entryBucket       = []byte("meta"), []byte("entries")
	formatKey, recordKey, lastKey = []byte("format"), []byte("record"), []byte("last")
	format                        = []byte("perennial local coordination 1")
)

// errNewer marks a file of a later layout.
var errNewer = errors.New("it was written by a newer release of Perennial: its layout has number")

// number is that of a layout, and 0 of what is none.
func number(layout []byte) int {
	n, ours := bytes.CutPrefix(layout, []byte("perennial local coordination "))
	if !ours {
		return 0
	}
	i, _ := strconv.Atoi(string(n)) // 0, too
	return i
}

// lockStep is the time for one attempt at the lock. The database tries every 50 ms.
const lockStep = 60 * time.Millisecond

// errDamaged marks what can only be found in a file that somebody or something has damaged.
var errDamaged = errors.New("the file is damaged or none of ours")

// load opens and reads the file, and makes it first if it is empty or not there.
//
// The database maps the file into memory and panics, or faults, on pages that cannot be:
// both become errors here. All of the file that matters is read, so a damage is found now
// and not in the middle of a term.
func load(path string) (db *bbolt.DB, s state.Snapshot, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
		if err == nil {
			return
		}
		release(db, file)
		db, err = nil, explain(path, err)
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockStep,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	if err != nil {
		return nil, s, err
	}
	if err = db.View(func(tx *bbolt.Tx) error { return wholeFile(tx, file) }); err != nil {
		return nil, s, err
	}
	if err = db.Update(prepare); err != nil {
		return nil, s, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		s, err = read(tx)
		return err
	})
	return db, s, err
}

// release lets go of a file that could not be read. The error at hand is the one that
// matters, so those of closing are not told. A database that panicked while it was opened cannot
// be closed; its mapping of the file would keep the lock, even with the file closed.
func release(db *bbolt.DB, file *os.File) {
	if db != nil {
		_ = db.Close()
	} else if file != nil {
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
		_ = file.Close()
	}
}

// explain tells a person what err, met while opening the file at path, means.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, fs.ErrPermission), errors.Is(err, errNewer):
		return fmt.Errorf("open %s: %w", path, err)
	case errors.Is(err, errDamaged), errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%s cannot be used: %w. It holds the epoch and the jobs of this cluster: put back a copy of it, or move it away and start an empty cluster with a new storage.dir", path, err)
	}
	return fmt.Errorf("open local coordination: %w", err)
}

// wholeFile compares the size that the file says it has with the one it has.
func wholeFile(tx *bbolt.Tx, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: it ends after %d of %d bytes", errDamaged, info.Size(), tx.Size())
	}
	return nil
}

// prepare gives an empty file its buckets.
func prepare(tx *bbolt.Tx) error {
	if meta := tx.Bucket(metaBucket); meta != nil {
		got := meta.Get(formatKey)
		if n := number(got); n > number(format) {
			return fmt.Errorf("%w %d, and this release reads %d: use the release that wrote it, or a newer one", errNewer, n, number(format))
		}
		if string(got) != string(format) {
			return fmt.Errorf("%w: its format is %q, this program reads %q", errDamaged, got, format)
		}
		return nil
	}
	if first, _ := tx.Cursor().First(); first != nil {
		return fmt.Errorf("%w: it is a database of another program", errDamaged)
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(entryBucket); err != nil {
		return err
	}
	return meta.Put(formatKey, format)
}

// read returns all that the file holds, in memory of its own.
func read(tx *bbolt.Tx) (s state.Snapshot, err error) {
	meta, entries := tx.Bucket(metaBucket), tx.Bucket(entryBucket)
	if entries == nil {
		return s, fmt.Errorf("%w: it has no entries", errDamaged)
	}
	if raw := meta.Get(recordKey); raw != nil {
		encoded, err := unseal(recordKey, raw)
		if err != nil {
			return s, err
		}
		if err := json.Unmarshal(encoded, &s.Record); err != nil {
			return s, fmt.Errorf("%w: epoch record: %w", errDamaged, err)
		}
	}
	if raw := meta.Get(lastKey); raw != nil {
		if s.Last, _, err = unsealVersioned(lastKey, raw); err != nil {
			return s, err
		}
	}
	err = entries.ForEach(func(key, raw []byte) error {
		version, value, err := unsealVersioned(key, raw)
		if err != nil {
			return err
		}
		s.Entries = append(s.Entries, coordination.Entry{Key: string(key), Value: append([]byte(nil), value...), Version: version})
		return nil
	})
	return s, err
}

// save writes a change in one transaction, durably.
func save(db *bbolt.DB, c state.Change) error {
	return db.Update(func(tx *bbolt.Tx) error {
		meta, entries := tx.Bucket(metaBucket), tx.Bucket(entryBucket)
		if c.Record != nil {
			encoded, err := json.Marshal(c.Record)
			if err != nil {
				return err
			}
			if err := meta.Put(recordKey, seal(recordKey, encoded)); err != nil {
				return err
			}
		}
		for _, e := range c.Put {
			if err := entries.Put([]byte(e.Key), sealVersioned([]byte(e.Key), e.Version, e.Value)); err != nil {
				return err
			}
		}
		for _, key := range c.Delete {
			if err := entries.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return meta.Put(lastKey, sealVersioned(lastKey, c.Last, nil))
	})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts a checksum before value.
func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(value)), sum), value...)
}

func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, fmt.Errorf("%w: %q has %d bytes", errDamaged, key, len(sealed))
	}
	sum, value := binary.BigEndian.Uint32(sealed), sealed[4:]
	if sum != crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value) {
		return nil, fmt.Errorf("%w: the checksum of %q does not match", errDamaged, key)
	}
	return value, nil
}

func sealVersioned(key []byte, v coordination.Version, value []byte) []byte {
	return seal(key, append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(v)), value...))
}

func unsealVersioned(key, sealed []byte) (coordination.Version, []byte, error) {
	value, err := unseal(key, sealed)
	if err != nil {
		return 0, nil, err
	}
	if len(value) < 8 {
		return 0, nil, fmt.Errorf("%w: %q has no version", errDamaged, key)
	}
	return coordination.Version(binary.BigEndian.Uint64(value)), value[8:], nil
}
