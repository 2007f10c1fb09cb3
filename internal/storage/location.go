package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/perennial-io/perennial/internal/storage/local"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// preparer is an objects.Store that can say at a process's start what is wrong with it.
type preparer interface {
	objects.Store
	Prepare(ctx context.Context) error
}

// OpenObjects returns the place at location, for its caller to write objects of its own there, such as those of a savepoint.
// It makes what is missing and can be made, and says what a person has to do when the place cannot be used.
func OpenObjects(ctx context.Context, location string) (objects.Store, error) {
	at, err := parse(location)
	if err != nil {
		return nil, err
	}
	if err := at.Prepare(ctx); err != nil {
		return nil, explain(at, err)
	}
	return at, nil
}

// ObjectsAt returns the place at location as it is, for its caller to read what is there: without any I/O.
func ObjectsAt(location string) (objects.Store, error) { return parse(location) }

// parse reads a location.
func parse(location string) (preparer, error) {
	if location == "" {
		return nil, errors.New("it is empty; name a directory that every process of the cluster shares, or s3://bucket/prefix")
	}
	scheme, _, isURL := strings.Cut(location, "://")
	switch {
	case !isURL:
		return directory(location)
	case scheme == "file":
		u, err := url.Parse(location)
		if err != nil || u.Host != "" && u.Host != "localhost" || u.Path == "" {
			return nil, fmt.Errorf("%q is no file URL; expected file:///path", location)
		}
		return directory(u.Path)
	}
	return nil, fmt.Errorf("%q: %s:// is not known here; expected a path, a file:/// URL or s3://bucket/prefix", location, scheme)
}

func directory(path string) (preparer, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return local.At(abs), nil
}

// explain says what to do about a place that cannot be used.
func explain(at objects.Store, err error) error {
	return fmt.Errorf("%s cannot be used: %w; name a directory that every process of the cluster can write", at, err)
}

// absolute is location for a process in another directory.
func absolute(at objects.Store, location string) string {
	if d, ok := at.(*local.Store); ok {
		return d.String()
	}
	return location
}
