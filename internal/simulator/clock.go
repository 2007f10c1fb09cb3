//go:build simulated

package simulator

import (
	"context"
	"runtime/debug"
	"runtime/pprof"
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

// identity is how the runtime knows the goroutines of a process.
type identity unsafe.Pointer

// identify marks the calling goroutine, and all that it starts, as the process's.
func (p *process) identify() {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("process", p.name)))
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.identity = identity(runtimeLabels())
}

// jump sets a process's wall clock that much later than the bubble's.
func (p *process) jump(by time.Duration) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.identity != nil {
		runtimeJump(unsafe.Pointer(p.identity), int64(by))
	}
}

// Exactly has nothing but the seed decide what happens from here on: no collection of garbage comes between.
func Exactly() { debug.SetGCPercent(-1) }
