//go:build simulated

package simulator

import (
	"context"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"
	"unsafe" // for go:linkname
)

// canJump says that this binary's runtime can set a host's wall clock.
const canJump = true

// The runtime that internal/simulator/run builds has these.
//
//go:linkname runtimeLabels runtime.simulatorLabels
func runtimeLabels() unsafe.Pointer

//go:linkname runtimeJump runtime.simulatorJump
func runtimeJump(labels unsafe.Pointer, by int64)

// clock is the wall clock of a process.
type clock struct {
	mu     sync.Mutex
	labels unsafe.Pointer // by which the runtime knows the goroutines of the process; nil until it runs
}

// identify marks the calling goroutine, and all that it starts, as the process's.
func (c *clock) identify(name string) {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("process", name)))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.labels = runtimeLabels()
}

// jump sets the clock that much later than the bubble's.
func (c *clock) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.labels != nil {
		runtimeJump(c.labels, int64(by))
	}
}

// Exactly has nothing but the seed decide what happens from here on: no collection of garbage comes between.
func Exactly() { debug.SetGCPercent(-1) }
