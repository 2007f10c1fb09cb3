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

// clock is the wall clock of a process. The world's mutex guards it.
type clock struct {
	labels unsafe.Pointer // by which the runtime knows the goroutines of the process; nil until it runs
}

// identify marks the calling goroutine, and all that it starts, as the process's.
func (p *process) identify() {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("process", p.name)))
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.labels = runtimeLabels()
}

// jump sets a process's wall clock that much later than the bubble's.
func (p *process) jump(by time.Duration) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.labels != nil {
		runtimeJump(p.labels, int64(by))
	}
}

// Exactly has nothing but the seed decide what happens from here on: no collection of garbage comes between.
func Exactly() { debug.SetGCPercent(-1) }
