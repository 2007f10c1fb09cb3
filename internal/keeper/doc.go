// Package keeper lets the connections of a process break at once when it is killed, however much memory it has.
//
// The kernel ends a process in an order: it frees memory first, some 40 to 70 ms for each gigabyte, and closes files after that. Until
// then whoever is connected hears nothing, and a leader that was killed counts as alive. So a keeper, a second process, shares the
// memory, as threads do, and nothing else: it has no files, no signal reaches it but SIGKILL and SIGSTOP, and it executes some ten system calls,
// on no stack. When the first process ends the kernel finds the memory in use, and goes on to its files. The keeper hears of it by the signal
// for the death of a parent, waits for a moment, and ends: the memory is freed then.
//
// It is there on Linux on amd64; elsewhere Start says that it is not, and nothing else changes. Both processes are shown with the
// same name and the same resident memory, which exists once. If the keeper is killed alone, nothing but its effect is lost.
//
// The thread that has started a keeper is its parent to the kernel, and belongs to a goroutine until stop has returned.
package keeper

import "errors"

// ErrUnsupported says that there are no keepers on this system.
var ErrUnsupported = errors.New("keeper: not on this system")

// Start has a keeper for this process until it ends, or stop is called. Both return once that is so.
func Start() (stop func(), err error) { return start() }
