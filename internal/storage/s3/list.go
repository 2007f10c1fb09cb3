package s3

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/perennial-io/perennial/internal/storage/objects"
)

// pages is how many times as long a list or a deletion may take, for which there are as many requests as it takes.
const pages = 10

// List: see objects.Store.
func (s *Store) List(ctx context.Context, dir string) ([]string, error) {
	if dir != "" {
		if err := objects.CheckName(dir); err != nil {
			return nil, err
		}
		dir += "/"
	}
	bounded, cancel := within(ctx, pages*s.limit(0))
	defer cancel()
	var names []string
	err := s.each(ctx, bounded, s.below()+dir, false, func(o minio.ObjectInfo) {
		name := strings.TrimPrefix(o.Key, s.below())
		if objects.CheckName(strings.TrimSuffix(name, "/")) == nil { // what else is there is not ours
			names = append(names, name)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// each calls f for all objects whose keys begin with prefix, and unless deep for directories instead
// of what is in them.
func (s *Store) each(ctx, bounded context.Context, prefix string, deep bool, f func(minio.ObjectInfo)) error {
	if err := objects.Ended(ctx); err != nil {
		return err
	}
	for o := range s.client.ListObjectsIter(bounded, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: deep}) {
		if o.Err != nil {
			return s.failure(ctx, bounded, "list", prefix, o.Err)
		}
		if o.Key != prefix {
			f(o)
		}
	}
	if err := objects.Ended(bounded); err != nil { // a list that is cut short does not say so
		return s.failure(ctx, bounded, "list", prefix, err)
	}
	return nil
}

// Delete: see objects.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := objects.Check(ctx, name); err != nil {
		return err
	}
	bounded, cancel := within(ctx, s.limit(0))
	defer cancel()
	err := s.client.RemoveObject(bounded, s.cfg.Bucket, s.key(name), minio.RemoveObjectOptions{})
	if err != nil && code(err) != minio.NoSuchKey {
		return s.failure(ctx, bounded, "delete", s.key(name), err)
	}
	return nil
}

// DeleteAll: see objects.Store.
func (s *Store) DeleteAll(ctx context.Context, dir string) error {
	if err := objects.Check(ctx, dir); err != nil {
		return err
	}
	bounded, cancel := within(ctx, pages*s.limit(0))
	defer cancel()
	prefix := s.key(dir) + "/"
	var all []minio.ObjectInfo
	if err := s.each(ctx, bounded, prefix, true, func(o minio.ObjectInfo) { all = append(all, o) }); err != nil {
		return err
	}
	results, err := s.client.RemoveObjectsWithIter(bounded, s.cfg.Bucket, slices.Values(all), minio.RemoveObjectsOptions{})
	if err != nil {
		return s.failure(ctx, bounded, "delete", prefix, err)
	}
	var failed []error
	for r := range results {
		if r.Err != nil && code(r.Err) != minio.NoSuchKey {
			failed = append(failed, s.failure(ctx, bounded, "delete", r.ObjectName, r.Err))
		}
	}
	if err := objects.Ended(bounded); err != nil && len(failed) == 0 {
		failed = append(failed, s.failure(ctx, bounded, "delete", prefix, err))
	}
	failed = append(failed, s.abortAll(ctx, bounded, prefix))
	return errors.Join(failed...)
}

// abortAll gives up the uploads that killed writers left behind: they are listed nowhere, and cost as
// much as objects.
func (s *Store) abortAll(ctx, bounded context.Context, prefix string) error {
	var failed []error
	for u := range s.client.ListIncompleteUploads(bounded, s.cfg.Bucket, prefix, true) {
		err := u.Err
		if err == nil {
			err = s.client.AbortMultipartUpload(bounded, s.cfg.Bucket, u.Key, u.UploadID)
		}
		if err != nil && code(err) != minio.NoSuchUpload {
			failed = append(failed, s.failure(ctx, bounded, "delete an upload of", prefix, err))
		}
	}
	return errors.Join(failed...)
}
