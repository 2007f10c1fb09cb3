package disk

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// unsynced is the local file system without waiting for the disk: after a crash nothing of a store is read
// again, but what was uploaded.
type unsynced struct{ vfs.FS }

func (u unsynced) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return wrap(u.FS.Create(name, c))
}

func (u unsynced) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return wrap(u.FS.OpenReadWrite(name, c, opts...))
}

func (u unsynced) OpenDir(name string) (vfs.File, error) { return wrap(u.FS.OpenDir(name)) }

func (u unsynced) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return wrap(u.FS.ReuseForWrite(from, to, c))
}

func (u unsynced) Unwrap() vfs.FS { return u.FS }

type unsyncedFile struct{ vfs.File }

func wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (f unsyncedFile) Sync() error                { return nil }
func (f unsyncedFile) SyncData() error            { return nil }
func (f unsyncedFile) SyncTo(int64) (bool, error) { return false, nil }
