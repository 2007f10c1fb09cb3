package chaos

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitFiles bounds how many files another process may have open.
func limitFiles(pid int, n uint64) error {
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
		return fmt.Errorf("prlimit of %d: %w", pid, err)
	}
	return nil
}
