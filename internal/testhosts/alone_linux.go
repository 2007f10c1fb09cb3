package testhosts

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// alone tells a program that it was begun anew.
const alone = "PERENNIAL_TEST_ALONE"

// Alone begins this program anew in a network of its own, in which there is nothing but loopback, and returns there: what
// it attaches to is then nobody else's. It is to be called before anything else, by root; it fails with ErrMissing where
// there can be no network of one's own.
func Alone() error {
	if os.Getenv(alone) != "" {
		if err := os.Unsetenv(alone); err != nil {
			return err
		}
		return ip(context.Background(), "link", "set", "lo", "up")
	}
	runtime.LockOSThread() // what is unshared is the thread's, which becomes the program's only one
	defer runtime.UnlockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: no network of one's own: %w", ErrMissing, err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), alone+"=yes"))
}
