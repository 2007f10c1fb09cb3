package boottime

import "golang.org/x/sys/unix"

// clock goes on while the host is suspended.
const clock = unix.CLOCK_BOOTTIME
