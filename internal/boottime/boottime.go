// Package boottime reads the clock of leases: one that all processes of a host share, and that goes on while the host is suspended, which
// Go's own monotonic clock does not. It is CLOCK_BOOTTIME where there is one, on Linux; elsewhere the system's monotonic clock, by
// which a lease may last longer if the host is suspended. A virtual machine that is paused from outside stands still by all of them, as a rule:
// docs/operations.md tells what that means for a lease.
//
// It never tells the time of day, and what it reads means nothing on another host. It has no goroutines.
package boottime
