//go:build !unix

package boottime

import "time"

var start = time.Now()

// Now is the time since this process was started: here nothing is run that could hold a lease.
func Now() time.Duration { return time.Since(start) }
