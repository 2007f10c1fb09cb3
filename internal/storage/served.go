package storage

import (
	"context"
	"fmt"
	"path"
	"strconv"
)

// servedDir has an object for the highest epoch whose leader has served, and perhaps for some before it.
const servedDir = "served"

// Served is the highest epoch of which PutServed was told, 0 if of none.
func (s *Storage) Served(ctx context.Context) (highest uint64, err error) {
	all, err := s.served(ctx)
	for _, epoch := range all {
		highest = max(highest, epoch)
	}
	return highest, err
}

// PutServed notes that a leader of an epoch has served. A leader that was replaced while it slept takes nothing of its
// successor's away.
func (s *Storage) PutServed(ctx context.Context, epoch uint64) error {
	if _, err := s.createBytes(ctx, servedDir, strconv.FormatUint(epoch, 10), nil); err != nil {
		return err
	}
	all, err := s.served(ctx)
	for _, other := range all {
		if err == nil && other < epoch {
			err = s.objects.Delete(ctx, servedDir+"/"+strconv.FormatUint(other, 10))
		}
	}
	return err
}

func (s *Storage) served(ctx context.Context) (epochs []uint64, err error) {
	names, err := s.objects.List(ctx, servedDir)
	if err != nil {
		return nil, fmt.Errorf("read which epochs have served: %w", err)
	}
	for _, name := range names {
		if epoch, err := strconv.ParseUint(path.Base(name), 10, 64); err == nil { // else it is none of ours
			epochs = append(epochs, epoch)
		}
	}
	return epochs, nil
}
