// Package keeper lets the connections of a process break at once when it is killed, however much memory it has.
//
// The kernel ends a process in an order: it frees memory first, some 40 to 70 ms for each gigabyte, and closes files after that. Until
// then whoever is connected hears nothing, and a leader that was killed counts as alive. So a keeper, a second process, shares the
// memory, as threads do. It has no descriptors, blocks all signals that can be blocked, and executes a handful of system calls, on no stack.
// When the first process ends the kernel finds the memory in use, and goes on to its files. The keeper hears of it by the signal for the
// death of a parent, waits for a moment, and ends: the memory is freed then. That signal is SIGCONT, so a keeper that somebody has stopped goes on and
// ends as well. A file that is mapped is memory: the process closes it, and a lock on it (flock) lasts until the keeper has ended.
//
// It is there on Linux 5.9 or newer, on amd64; elsewhere Start says that it is not, and nothing else changes. Both processes are shown with
// the same name and the same resident memory, which exists once.
//
// Start begins one goroutine, whose thread is the keeper's parent to the kernel; stop waits for its end.
package keeper

import "errors"

// ErrUnsupported says that there are no keepers on this system.
var ErrUnsupported = errors.New("keeper: not on this system")

// Start has a keeper for this process until it ends, or stop is called, and returns once that is so. If the keeper ends before, lost is
// called, and nothing is gone but its effect. A program that ends by a panic should not call stop on its way: a crash is a death as well.
func Start(lost func()) (stop func(), err error) { return start(lost) }
