package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/perennial-io/perennial/internal/storage/objects"
)

// Link gives an object of another directory a name in this one too, unless that is taken, and reports
// whether it did. An object is never changed, so it does not matter that both are one file. Where it
// cannot be, as on another file system, nothing was done.
func (s *Store) Link(ctx context.Context, from objects.Store, object, name string) (linked bool) {
	other, ok := from.(*Store)
	if !ok || objects.Check(ctx, object) != nil || objects.Check(ctx, name) != nil {
		return false
	}
	final := s.path(name)
	if s.mkdir(filepath.Dir(final)) != nil {
		return false
	}
	err := os.Link(other.path(object), final)
	return (err == nil || errors.Is(err, fs.ErrExist)) && syncDir(filepath.Dir(final)) == nil
}
