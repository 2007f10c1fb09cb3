package s3

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/perennial-io/perennial/internal/storage/objects"
	"golang.org/x/sync/errgroup"
)

const (
	sending  = 2      // parts of one upload that are sent at once; one more is being filled
	maxParts = 10_000 // of an upload: S3's own limit

	abortion = 2 * time.Second // to give up an upload; what is left is removed by DeleteAll, or by a rule of the bucket
)

// upload takes what is to become an object. As soon as that is more than a part it sends the parts.
type upload struct {
	s      *Store
	ctx    context.Context // of Create
	key    string
	writer string
	buffer []byte // not sent yet, at most a part

	id    string // "": nothing was sent
	parts []*minio.CompletePart
	group *errgroup.Group    // sends them
	sends context.Context    // ends with the first that fails
	stop  context.CancelFunc // ends them all
}

// Write is called by the one goroutine that writes the object.
func (u *upload) Write(p []byte) (n int, err error) {
	if err := objects.Ended(u.ctx); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		if len(u.buffer) == u.s.cfg.PartSize {
			if err := u.send(); err != nil {
				return n, err
			}
		}
		piece := p[:min(len(p), u.s.cfg.PartSize-len(u.buffer))]
		u.buffer = append(u.buffer, piece...)
		n, p = n+len(piece), p[len(piece):]
	}
	return n, nil
}

// send hands the buffer over to be sent as a part, and waits while too many are under way.
func (u *upload) send() error {
	if u.id == "" {
		if err := u.begin(); err != nil {
			return err
		}
	}
	if u.sends.Err() != nil {
		return cmp.Or(u.group.Wait(), context.Cause(u.sends))
	}
	if len(u.parts) == maxParts {
		return fmt.Errorf("create %s in %s: it has more than %d parts of %d bytes, the most that S3 takes", u.key, u.s, maxParts, u.s.cfg.PartSize)
	}
	part, b := &minio.CompletePart{PartNumber: len(u.parts) + 1}, u.buffer
	u.parts = append(u.parts, part)
	u.buffer = make([]byte, 0, u.s.cfg.PartSize)
	u.group.Go(func() error { return u.put(part, b) })
	return nil
}

func (u *upload) begin() error {
	bounded, cancel := within(u.ctx, u.s.limit(0))
	defer cancel()
	id, err := u.s.client.NewMultipartUpload(bounded, u.s.cfg.Bucket, u.key, named(u.writer))
	if err != nil {
		return u.s.failure(u.ctx, bounded, "create", u.key, err)
	}
	u.id = id
	u.sends, u.stop = context.WithCancel(u.ctx)
	u.group, u.sends = errgroup.WithContext(u.sends)
	u.group.SetLimit(sending)
	return nil
}

func (u *upload) put(part *minio.CompletePart, b []byte) error {
	bounded, cancel := within(u.sends, u.s.limit(len(b)))
	defer cancel()
	sent, err := u.s.client.PutObjectPart(bounded, u.s.cfg.Bucket, u.key, u.id, part.PartNumber, bytes.NewReader(b), int64(len(b)), minio.PutObjectPartOptions{Sha256Hex: sum(b)})
	if err != nil {
		return u.s.failure(u.ctx, bounded, "create", u.key, err)
	}
	part.ETag = sent.ETag
	return nil
}

// complete makes the object of the parts, unless there is one.
func (u *upload) complete() (created bool, err error) {
	if err := u.send(); err != nil {
		return false, err
	}
	if err := u.group.Wait(); err != nil {
		return false, err
	}
	parts := make([]minio.CompletePart, len(u.parts))
	for i, p := range u.parts {
		parts[i] = *p
	}
	bounded, cancel := within(u.ctx, u.s.limit(0))
	defer cancel()
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	_, err = u.s.client.CompleteMultipartUpload(bounded, u.s.cfg.Bucket, u.key, u.id, parts, opts)
	created, err = u.s.outcome(u.ctx, bounded, u.key, u.writer, err)
	if created {
		u.id = ""
	}
	return created, err
}

// abort gives up an upload that was begun and did not become the object.
func (u *upload) abort() {
	if u.stop == nil {
		return
	}
	u.stop()
	_ = u.group.Wait()
	if u.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortion)
	defer cancel()
	_ = u.s.client.AbortMultipartUpload(ctx, u.s.cfg.Bucket, u.key, u.id) // it may be there no more
}
