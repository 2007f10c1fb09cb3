package task

import "os"

// heapFloor is memory that is never touched: address space, and no pages. The collector runs when
// the heap has doubled since it last ran, which in a job whose records only pass through is every
// few megabytes; with the floor it is every 32 MiB at the most often, and a large heap grows as ever.
var heapFloor []byte

const heapFloorSize = 32 << 20

// RaiseHeapFloor makes the collector run less often in a process whose heap is small. Whoever set
// GOGC or GOMEMLIMIT has decided otherwise.
func RaiseHeapFloor() {
	if heapFloor == nil && os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		heapFloor = make([]byte, heapFloorSize)
	}
}
