// Package s3 keeps objects in a bucket of Amazon S3 or of a server that speaks its protocol, below a prefix.
// An object is created by a PUT, or the completion of an upload in parts, with If-None-Match: *, which the server
// must honour: it then stores whole objects only, and only under names that are free.
//
// Nothing here waits for ever. A connection over which nothing moves is given up, a request is repeated a few times,
// and all of that ends after a time that grows with what is transferred, or at once with the caller's ctx.
//
// Credentials are looked for where AWS's own programs do, and never shown. A Store owns no goroutine but those of
// its HTTP connections; an upload in parts owns those that send them, and waits for them. See ../objects for the contract.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/perennial-io/perennial/internal/storage/objects"
)

// Config says where a Store is.
type Config struct {
	Bucket string
	Prefix string // "": the whole bucket; no slash at either end

	Endpoint  string // http:// or https://host[:port]; "": Amazon's
	Region    string // "": Amazon's is asked for; elsewhere us-east-1
	PathStyle string // "true" or "false": whether the bucket is in the path of a URL or in its host; "": as the endpoint is known to want it

	Credentials *credentials.Credentials // nil: those of the environment, of AWS's files, or of the host
	Patience    time.Duration            // after which a connection over which nothing moves is given up; 10 s
	PartSize    int                      // of uploads in parts, in bytes; 8 MiB
}

const (
	defaultEndpoint = "https://s3.amazonaws.com"
	defaultRegion   = "us-east-1" // what servers say that know no regions
	defaultPatience = 10 * time.Second
	defaultPartSize = 8 << 20

	tries = 4 // of each request, within 3 times the patience

	slowest = 256 << 10 // bytes a second: what is transferred more slowly is given up
)

// Store is a prefix of a bucket.
type Store struct {
	cfg    Config
	client minio.Core
}

// At returns the store that c describes: without any I/O.
func At(c Config) (*Store, error) {
	if err := s3utils.CheckValidBucketName(c.Bucket); err != nil {
		return nil, fmt.Errorf("bucket %q: %w", c.Bucket, err)
	}
	if c.Prefix != "" {
		if err := objects.CheckName(c.Prefix); err != nil {
			return nil, fmt.Errorf("prefix: %w", err)
		}
	}
	if c.Endpoint != "" {
		c.Region = cmp.Or(c.Region, defaultRegion)
	}
	endpoint, err := ParseEndpoint(cmp.Or(c.Endpoint, defaultEndpoint))
	if err != nil {
		return nil, err
	}
	c.Patience = cmp.Or(c.Patience, defaultPatience)
	c.PartSize = cmp.Or(c.PartSize, defaultPartSize)
	transport := newTransport(c.Patience)
	if c.Credentials == nil {
		c.Credentials = find(transport)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: c.Credentials, Secure: endpoint.Scheme == "https", Region: c.Region, BucketLookup: lookup(c.PathStyle),
		Transport: transport, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", c.Endpoint, err)
	}
	return &Store{cfg: c, client: minio.Core{Client: client}}, nil
}

// ParseEndpoint reads the URL of a server, or says what is wrong with it.
func ParseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case strings.Contains(endpoint, "@"): // a secret with a slash in it is none of the URL's user
		return nil, errors.New("the endpoint has credentials in it, which belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("endpoint %q; expected http://host:port or https://host", endpoint)
	}
	return u, nil
}

func lookup(pathStyle string) minio.BucketLookupType {
	switch pathStyle {
	case "true":
		return minio.BucketLookupPath
	case "false":
		return minio.BucketLookupDNS
	}
	return minio.BucketLookupAuto
}

// find looks for credentials in the environment, in AWS's files, and in what a host or a container of
// Amazon's is given, in that order.
func find(transport http.RoundTripper) *credentials.Credentials {
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Transport: transport, Timeout: 2 * time.Second}},
	})
}

// String is s3://bucket/prefix.
func (s *Store) String() string {
	return strings.TrimSuffix("s3://"+s.cfg.Bucket+"/"+s.cfg.Prefix, "/")
}

// key is the object's name in the bucket.
func (s *Store) key(name string) string { return s.below() + name }

// below begins the keys of all objects of the store.
func (s *Store) below() string {
	if s.cfg.Prefix == "" {
		return ""
	}
	return s.cfg.Prefix + "/"
}

// errSlow is the cause of a ctx that has ended because a request took too long.
var errSlow = errors.New("it was not answered in time")

// limit is how long requests may take that transfer so many bytes.
func (s *Store) limit(size int) time.Duration {
	return 3*s.cfg.Patience + time.Duration(size)*time.Second/slowest
}

// within bounds ctx by limit.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w, which was %v", errSlow, limit))
}
