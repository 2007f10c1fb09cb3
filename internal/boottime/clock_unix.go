//go:build unix && !linux

package boottime

import "golang.org/x/sys/unix"

// clock is the nearest that there is.
const clock = unix.CLOCK_MONOTONIC
