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
	"github.com/perennial-io/perennial/internal/storage/s3"
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
	case scheme == "s3":
		return bucket(location)
	}
	return nil, fmt.Errorf("%s:// is not known here; expected a path, a file:/// URL or s3://bucket/prefix", scheme)
}

func directory(path string) (preparer, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return local.At(abs), nil
}

// The parts of an s3:// location that are not the bucket and the prefix: a location is whole, and means the
// same in every process. Credentials are none of them.
const (
	endpointPart  = "endpoint"
	regionPart    = "region"
	pathStylePart = "path-style"
)

func bucket(location string) (preparer, error) {
	u, parts, err := parseS3(location)
	if err != nil {
		return nil, err
	}
	s, err := s3.At(s3.Config{
		Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"),
		Endpoint: parts.Get(endpointPart), Region: parts.Get(regionPart), PathStyle: parts.Get(pathStylePart),
	})
	if err != nil {
		return nil, fmt.Errorf("s3://%s%s: %w", u.Host, u.Path, err)
	}
	return s, nil
}

// parseS3 never repeats what it refuses: it may have a secret in it.
func parseS3(location string) (*url.URL, url.Values, error) {
	const expected = "expected s3://bucket/prefix"
	u, err := url.Parse(location)
	if err != nil {
		return nil, nil, errors.New("the s3:// location is no URL; " + expected)
	}
	if u.User != nil || strings.Contains(u.Host, ":") { // a secret with a slash in it is none of the URL's user
		return nil, nil, errors.New("the s3:// location has credentials in it, which belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials; " + expected)
	}
	parts, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Host == "" || u.Fragment != "" {
		return nil, nil, fmt.Errorf("s3://%s%s is not whole; %s", u.Host, u.Path, expected)
	}
	for name := range parts {
		if name != endpointPart && name != regionPart && name != pathStylePart {
			return nil, nil, fmt.Errorf("s3://%s%s: %q is not known; after the ? there may be %s, %s and %s", u.Host, u.Path, name, endpointPart, regionPart, pathStylePart)
		}
	}
	return u, parts, nil
}

// S3 is what an s3:// location is completed with where it does not say it itself. "" is S3's default.
type S3 struct {
	Endpoint  string // http://host:port
	Region    string
	PathStyle string // true or false
}

// Complete makes a location whole, so that other processes need to know nothing else, but for credentials.
// What is no s3:// location stays as it is.
func (o S3) Complete(location string) string {
	if !strings.HasPrefix(location, "s3://") {
		return location
	}
	u, parts, err := parseS3(location)
	if err != nil {
		return location // whoever opens it says what is wrong
	}
	if parts.Has(endpointPart) { // another server, of which these say nothing
		return location
	}
	for name, value := range map[string]string{endpointPart: o.Endpoint, regionPart: o.Region, pathStylePart: o.PathStyle} {
		if value != "" && !parts.Has(name) {
			parts.Set(name, value)
		}
	}
	u.RawQuery = parts.Encode()
	return u.String()
}

// Beside completes a location with what this storage's own says of its server, for what a person
// names without that: s3://bucket/savepoints is on the same server then.
func (s *Storage) Beside(location string) string {
	own, err := url.Parse(s.location)
	if err != nil || own.Scheme != "s3" {
		return location
	}
	parts := own.Query()
	return S3{Endpoint: parts.Get(endpointPart), Region: parts.Get(regionPart), PathStyle: parts.Get(pathStylePart)}.Complete(location)
}

// explain says what to do about a place that cannot be used. What comes from a bucket says that itself.
func explain(at objects.Store, err error) error {
	err = fmt.Errorf("%s cannot be used: %w", at, err)
	if _, ok := at.(*local.Store); ok {
		err = fmt.Errorf("%w; name a directory that every process of the cluster can write", err)
	}
	return err
}

// absolute is location for a process in another directory.
func absolute(at objects.Store, location string) string {
	if d, ok := at.(*local.Store); ok {
		return d.String()
	}
	return location
}
