package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

// MaxArtifact is the size of the largest job binary that is accepted, in bytes.
const MaxArtifact = 1 << 30

// ErrHash says that the bytes of an artifact or an intent have another hash than its name, or that those
// of an artifact are more than MaxArtifact.
var ErrHash = errors.New("storage: not what was named")

// PutArtifact stores the job binary with this SHA-256 (lower-case hex), reading r to its end
// and holding little of it in memory. Storing one that is there already succeeds, and reads
// nothing.
func (s *Storage) PutArtifact(ctx context.Context, sum string, r io.Reader) error {
	if err := checkSum(sum); err != nil {
		return err
	}
	if has, err := s.HasArtifact(ctx, sum); err != nil || has {
		return err
	}
	_, err := s.objects.Create(ctx, artifactDir+"/"+sum, func(w io.Writer) error { return copyVerified(ctx, w, r, sum) })
	if err != nil {
		return fmt.Errorf("store artifact %s: %w", sum, err)
	}
	return nil
}

func copyVerified(ctx context.Context, w io.Writer, r io.Reader, sum string) error {
	n, got, err := CopyHashed(ctx, w, io.LimitReader(r, MaxArtifact+1))
	if err != nil {
		return err
	}
	if n > MaxArtifact {
		return fmt.Errorf("%w: more than %d bytes", ErrHash, MaxArtifact)
	}
	if got != sum {
		return fmt.Errorf("%w: the %d bytes that came have hash %s", ErrHash, n, got)
	}
	return nil
}

// HasArtifact reports whether the job binary with this hash is stored.
func (s *Storage) HasArtifact(ctx context.Context, sum string) (bool, error) {
	r, err := s.OpenArtifact(ctx, sum)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.Close()
	return true, nil
}

// OpenArtifact opens the job binary with this hash, or fails with ErrNotFound. The caller
// closes it.
func (s *Storage) OpenArtifact(ctx context.Context, sum string) (io.ReadCloser, error) {
	if err := checkSum(sum); err != nil {
		return nil, err
	}
	r, _, err := s.objects.Open(ctx, artifactDir+"/"+sum)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: artifact %s in %s", ErrNotFound, sum, s.Dir())
	}
	return r, err
}

// ArtifactName is how a job binary is called among what jobs share.
func ArtifactName(sum string) string { return artifactDir + "/" + sum }

// GraphName is how a plan is called among what jobs share.
func GraphName(hash string) string { return graphDir + "/" + hash }

// ListShared lists the job binaries and plans that are stored, by their names.
func (s *Storage) ListShared(ctx context.Context) ([]string, error) {
	artifacts, err := s.objects.List(ctx, artifactDir)
	if err != nil {
		return nil, fmt.Errorf("list artifacts: %w", err)
	}
	graphs, err := s.objects.List(ctx, graphDir)
	if err != nil {
		return nil, fmt.Errorf("list graphs: %w", err)
	}
	return slices.DeleteFunc(append(artifacts, graphs...), func(name string) bool { return checkSum(path.Base(name)) != nil }), nil
}

// DeleteShared removes a job binary or a plan, if it is there. No job may refer to it, or come to (R13).
func (s *Storage) DeleteShared(ctx context.Context, name string) error {
	if dir := path.Dir(name); dir != artifactDir && dir != graphDir {
		return fmt.Errorf("%w: %q is no job binary's and no plan's", ErrName, name)
	}
	if err := checkSum(path.Base(name)); err != nil {
		return err
	}
	return s.objects.Delete(ctx, name)
}

// checkSum refuses names that are no hash, and so every path that would leave the storage.
func checkSum(sum string) error {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != sum {
		return fmt.Errorf("%w: %q is no SHA-256, 64 lower-case hex digits", ErrName, sum)
	}
	return nil
}

// CopyHashed copies r to w and returns the number of bytes and their SHA-256, as artifacts are
// named by. It fails once ctx has ended.
func CopyHashed(ctx context.Context, w io.Writer, r io.Reader) (n int64, sum string, err error) {
	h := sha256.New()
	n, err = io.Copy(io.MultiWriter(w, h), contextReader{ctx, r})
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// contextReader fails once ctx has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
