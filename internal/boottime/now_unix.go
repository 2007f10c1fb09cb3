//go:build unix

package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the host was started, or since another moment before any of its processes were.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic("the clock of leases cannot be read: " + err.Error()) // Linux has it since 2.6.39
	}
	return time.Duration(t.Nano())
}
