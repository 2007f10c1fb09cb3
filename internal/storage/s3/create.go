package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// writerKey is the metadata of an object that tells who wrote it.
const writerKey = "Writer"

// Create: see objects.Store.
func (s *Store) Create(ctx context.Context, name string, write func(io.Writer) error) (created bool, err error) {
	if err := objects.Check(ctx, name); err != nil {
		return false, err
	}
	u := &upload{s: s, ctx: ctx, key: s.key(name), writer: rand.Text()}
	defer u.abort()
	if err := write(u); err != nil {
		return false, err
	}
	if err := objects.Ended(ctx); err != nil {
		return false, err
	}
	if u.id == "" {
		return s.put(ctx, u.key, u.writer, u.buffer)
	}
	return u.complete()
}

// named makes an object tell who wrote it: a request that is repeated because its answer was lost finds
// the name taken, by itself.
func named(writer string) minio.PutObjectOptions {
	return minio.PutObjectOptions{UserMetadata: map[string]string{writerKey: writer}}
}

// put creates an object in one request.
func (s *Store) put(ctx context.Context, key, writer string, b []byte) (created bool, err error) {
	bounded, cancel := within(ctx, s.limit(len(b)))
	defer cancel()
	opts := named(writer)
	opts.SetMatchETagExcept("*")
	for {
		_, err = s.client.PutObject(bounded, s.cfg.Bucket, key, bytes.NewReader(b), int64(len(b)), "", sum(b), opts)
		// Somebody else was writing or deleting the object at that moment.
		if code(err) != conditionalConflict || !pause(bounded, s.cfg.Patience/100) {
			return s.outcome(ctx, bounded, key, writer, err)
		}
	}
}

// outcome is what became of a creation that was answered with err.
func (s *Store) outcome(ctx, bounded context.Context, key, writer string, err error) (created bool, _ error) {
	if err == nil {
		return true, nil
	}
	taken := code(err) == minio.PreconditionFailed
	// After an answer that was lost, an upload that was completed is not there any more.
	if !taken && code(err) != minio.NoSuchUpload {
		return false, s.failure(ctx, bounded, "create", key, err)
	}
	info, stat := s.client.StatObject(bounded, s.cfg.Bucket, key, minio.StatObjectOptions{})
	switch {
	case stat == nil:
		return info.UserMetadata[writerKey] == writer, nil
	case taken && code(stat) == minio.NoSuchKey: // it was deleted since
		return false, nil
	case taken:
		return false, s.failure(ctx, bounded, "create", key, stat)
	}
	return false, s.failure(ctx, bounded, "create", key, err)
}

// sum lets the server see that what arrives is what was sent.
func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// pause waits, and reports false if ctx ends meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
