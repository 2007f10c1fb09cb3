package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// samePlace reports whether the tree has what the place has, no more and no less.
func (x *index) samePlace(p state.Place) bool {
	return x.Subtask == p.Subtask && x.Parallelism == p.Parallelism && x.Groups == p.Groups
}

// owned are the groups of which the tree has the keys.
func (x *index) owned() (first, last int, ok bool) {
	return state.Place{Subtask: x.Subtask, Parallelism: x.Parallelism, Groups: x.Groups}.Owned()
}

// bring makes the tree the backend's own, which may build on it from then on.
func (b *backend) bring(x *index) error {
	pieces := map[string]job.StateHandle{}
	for _, f := range x.Files {
		pieces[f.Name] = x.pieces[f.Name].Handle
	}
	b.bases.add(b.place.Checkpoint, 0, pieces)
	return x.download(b.dir, 0, x.Groups-1)
}

// download writes the files of the tree that have keys of the groups to dir.
func (x *index) download(dir string, first, last int) error {
	for name, content := range x.Rest {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	for _, f := range x.Files {
		piece, there := x.pieces[f.Name]
		if !there {
			return fmt.Errorf("what subtask %d wrote lacks %s", x.Subtask, f.Name)
		}
		if f.First > last || f.Last < first {
			continue
		}
		if err := fetch(piece, filepath.Join(dir, f.Name)); err != nil {
			return fmt.Errorf("%s of subtask %d: %w", f.Name, x.Subtask, err)
		}
	}
	return nil
}

func fetch(piece state.Restored, path string) error {
	in, err := piece.Reader()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// merge takes over, from the trees of another parallelism, the keys whose groups are the backend's. Trees have
// ranges of groups of their own, so what they have follows one after the other.
func (b *backend) merge(from []*index) error {
	slices.SortFunc(from, func(x, y *index) int { return cmp.Compare(x.Subtask, y.Subtask) })
	var paths []string
	for i, x := range from {
		if x.Groups != b.place.Groups || x.Parallelism != from[0].Parallelism {
			return fmt.Errorf("it was written by subtask %d of %d with %d key groups; the job has %d", x.Subtask, x.Parallelism, x.Groups, b.place.Groups)
		}
		first, last, ok := x.owned()
		first, last = max(first, b.first), min(last, b.last)
		if !ok || first > last {
			continue
		}
		more, err := b.take(x, filepath.Join(b.dir+"-from", fmt.Sprint(i)), first, last)
		if err != nil {
			return err
		}
		paths = append(paths, more...)
	}
	if len(paths) == 0 {
		return nil
	}
	err := b.db.Ingest(context.Background(), paths)
	return errors.Join(err, os.RemoveAll(b.dir+"-from"))
}

// take writes the keys of the groups as tables, and returns their paths.
func (b *backend) take(x *index, dir string, first, last int) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := x.download(dir, first, last); err != nil {
		return nil, err
	}
	o := b.options()
	o.ReadOnly, o.DisableConsistencyCheck, o.DisableTableStats = true, true, true // some files are not there
	tree, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("what subtask %d wrote: %w", x.Subtask, err)
	}
	it, err := tree.NewIter(&pebble.IterOptions{LowerBound: groupKey(first), UpperBound: groupKey(last + 1)})
	if err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	paths, err := b.writeTables(it, dir)
	return paths, errors.Join(err, it.Close(), tree.Close())
}

// tableMost is how large a table becomes that is taken over, before it is compressed.
const tableMost = 64 << 20

func (b *backend) writeTables(it *pebble.Iterator, dir string) (paths []string, err error) {
	for ok := it.First(); ok; {
		path := filepath.Join(dir, fmt.Sprintf("taken-%d", len(paths)))
		var n int
		if n, ok, err = b.writeTable(it, path); err != nil {
			return nil, err
		}
		if n > 0 {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// writeTable writes n entries; more says that the iterator has not come to its end.
func (b *backend) writeTable(it *pebble.Iterator, path string) (n int, more bool, err error) {
	f, err := unsynced{vfs.Default}.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, false, err
	}
	o := b.options()
	o.EnsureDefaults()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, formatVersion.MaxTableFormat()))
	size := 0
	for more = true; more && size < tableMost; more = it.Next() {
		if isMark(it.Key()) {
			continue
		}
		value, err := it.ValueAndErr()
		if err == nil {
			err = w.Set(it.Key(), value)
		}
		if err != nil {
			return 0, false, errors.Join(err, w.Close())
		}
		size += len(it.Key()) + len(value)
		n++
	}
	return n, more, w.Close()
}
