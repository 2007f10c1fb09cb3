package taskmanager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/storage"
)

// artifacts are the job binaries fetched from storage, by hash. Requests for the same one
// share a fetch. A binary is hashed once by each TaskManager, whether it was fetched by this
// one or by an earlier.
type artifacts struct {
	dir  string
	from *storage.Storage

	mu    sync.Mutex // held for map accesses only
	bySum map[string]*fetch
}

// fetch is a binary that is here, or on its way.
type fetch struct {
	done chan struct{} // closed when err is set
	err  error
}

func newArtifacts(dir string, from *storage.Storage) *artifacts {
	return &artifacts{dir: dir, from: from, bySum: map[string]*fetch{}}
}

// get returns the path of the executable file with this SHA-256.
func (a *artifacts) get(ctx context.Context, sum string) (string, error) {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != sum {
		return "", fmt.Errorf("%q is no SHA-256 of a job binary: expected 64 lower-case hex digits", sum)
	}
	path := filepath.Join(a.dir, sum)
	for {
		f, mine := a.join(sum)
		if mine {
			a.finish(sum, f, a.obtain(ctx, path, sum))
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if f.err == nil {
			return path, nil
		}
		if ctx.Err() != nil || !errors.Is(f.err, context.Canceled) {
			return "", fmt.Errorf("fetch job binary %s: %w", sum, f.err)
		}
		// Whoever fetched it was called off; it is our turn.
	}
}

// join returns the fetch of sum and whether the caller is the one to do it.
func (a *artifacts) join(sum string) (f *fetch, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f = a.bySum[sum]; f != nil {
		return f, false
	}
	f = &fetch{done: make(chan struct{})}
	a.bySum[sum] = f
	return f, true
}

func (a *artifacts) finish(sum string, f *fetch, err error) {
	f.err = err
	if err != nil {
		a.mu.Lock()
		delete(a.bySum, sum)
		a.mu.Unlock()
	}
	close(f.done)
}

func (a *artifacts) obtain(ctx context.Context, path, sum string) error {
	if a.intact(ctx, path, sum) {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // the oldest are removed one day
		return nil
	}
	src, err := a.from.OpenArtifact(ctx, sum)
	if err != nil {
		return err
	}
	defer src.Close()
	temp, err := os.CreateTemp(a.dir, ".fetch-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails once it is renamed
	err = copyExecutable(ctx, temp, src, sum)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// intact reports whether an earlier TaskManager has fetched the binary whole.
func (a *artifacts) intact(ctx context.Context, path, sum string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, got, err := storage.CopyHashed(ctx, io.Discard, f)
	return err == nil && got == sum
}

func copyExecutable(ctx context.Context, dst *os.File, src io.Reader, sum string) error {
	n, got, err := storage.CopyHashed(ctx, dst, src)
	if err != nil {
		return err
	}
	if got != sum {
		return fmt.Errorf("the %d bytes in storage have hash %s: they are damaged", n, got)
	}
	return dst.Chmod(0o755) // not synced: a later TaskManager hashes what it finds
}
