package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// Open: see objects.Store.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := objects.Check(ctx, name); err != nil {
		return nil, 0, err
	}
	r := &reader{s: s, ctx: ctx, key: s.key(name)}
	size, err := r.open()
	if err != nil {
		return nil, 0, err
	}
	if size < 0 {
		r.Close()
		return nil, 0, fmt.Errorf("open %s in %s: the server does not say how many bytes it has", r.key, s)
	}
	r.left = size
	return r, size, nil
}

// reader reads an object. When the connection breaks it goes on with another one, where it was.
type reader struct {
	s    *Store
	ctx  context.Context
	key  string
	etag string // of what was opened: what is gone on with must be the same

	offset, left int64
	body         io.ReadCloser
	cancel       context.CancelCauseFunc // ends the request that body belongs to
	failures     int                     // since a byte came
}

// open begins to read at the offset, and returns how many bytes will come.
func (r *reader) open() (int64, error) {
	var opts minio.GetObjectOptions
	if r.offset > 0 {
		err := errors.Join(opts.SetRange(r.offset, 0), opts.SetMatchETag(r.etag))
		if err != nil {
			return 0, err
		}
	}
	// The time is for the answer's beginning; the rest comes for as long as it comes.
	ctx, cancel := context.WithCancelCause(r.ctx)
	limit := time.AfterFunc(r.s.limit(0), func() { cancel(errSlow) })
	body, info, _, err := r.s.client.GetObject(ctx, r.s.cfg.Bucket, r.key, opts)
	if !limit.Stop() && err == nil {
		body.Close()
		err = errSlow
	}
	if err != nil {
		err = r.s.failure(r.ctx, ctx, "open", r.key, err)
		cancel(nil)
		return 0, err
	}
	r.body, r.cancel, r.etag = body, cancel, info.ETag
	return info.Size, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := objects.Ended(r.ctx); err != nil {
		return 0, err
	}
	for r.left > 0 {
		if r.body == nil {
			if _, err := r.open(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
		if err != nil {
			r.Close() // what is left is asked for anew
		}
		if n > 0 || err == nil {
			r.offset, r.left, r.failures = r.offset+int64(n), r.left-int64(n), 0
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if r.failures++; r.failures == tries || r.ctx.Err() != nil {
			return 0, r.s.failure(r.ctx, r.ctx, "read", r.key, err)
		}
	}
	return 0, io.EOF
}

// Close ends the request, if there is one.
func (r *reader) Close() error {
	if r.body == nil {
		return nil
	}
	r.cancel(nil)
	err := r.body.Close()
	r.body = nil
	return err
}
