package local

import (
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// TestFileOfALaterRelease: it is refused, and not called damaged, so that nobody moves it away.
func TestFileOfALaterRelease(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFile(t.Context(), dir)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, Name), 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(metaBucket).Put(formatKey, []byte("perennial local coordination 2"))
		})
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenFile(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "has number 2, and this release reads 1: use the release that wrote it") || strings.Contains(err.Error(), "move it away") {
		t.Errorf("%v", err)
	}
}
