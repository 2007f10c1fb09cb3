package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// Beside etcd's own files a data directory has a lock, held while a member uses it, and the name
// of the member whose votes are in it. etcd has neither: a second member in the same
// directory would panic in the midst of the first one's log, or vote under its identity.
const (
	lockFile     = "lock"
	identityFile = "identity"
)

// lockTime is how long a predecessor may take to be gone: the system takes a killed one apart
// before it lets go of its lock.
const lockTime = 5 * time.Second

// takeDirectory makes the data directory, locks it, and makes sure that it is this member's.
// Whoever closes the lock gives the directory up.
func (c Config) takeDirectory(ctx context.Context) (lock *fileutil.LockedFile, err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded quorum: data directory: %w", err)
	}
	if lock, err = c.lock(ctx); err != nil {
		return nil, err
	}
	if err := c.identify(); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func (c Config) lock(ctx context.Context) (*fileutil.LockedFile, error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		lock, err := fileutil.TryLockFile(filepath.Join(c.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, fileutil.ErrLocked) {
			return nil, fmt.Errorf("embedded quorum: lock the data directory %s: %w", c.Dir, err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("embedded quorum: another JobManager uses the data directory %s; stop it, or give this one a directory of its own", c.Dir)
		}
	}
}

// identify writes this member's name into a directory that has none, and refuses another's.
func (c Config) identify() error {
	path := filepath.Join(c.Dir, identityFile)
	own := c.Self + " of cluster " + c.Cluster
	text, err := os.ReadFile(path)
	switch is := strings.TrimSpace(string(text)); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && is == "": // new, or cut off while it was made
		err = os.WriteFile(path, []byte(own+"\n"), 0o600)
	case err == nil && is != own:
		return fmt.Errorf("embedded quorum: the data directory %s is that of JobManager %s, and this is %s: give each JobManager a directory of its own", c.Dir, is, own)
	}
	if err != nil {
		return fmt.Errorf("embedded quorum: data directory: %w", err)
	}
	return nil
}
