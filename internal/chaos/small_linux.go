package chaos

import (
	"os"
	"syscall"
)

// small mounts a small file system at dir, until release is called.
func small(dir, size string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("perennial-chaos", dir, "tmpfs", 0, "size="+size); err != nil {
		return nil, &os.PathError{Op: "mount", Path: dir, Err: err}
	}
	return func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}
