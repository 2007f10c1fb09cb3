package task

import (
	"os"
	"strconv"
)

// heapFloor is memory that is never touched: address space, and no pages. The collector runs when
// the heap has doubled since it last ran, which in a job whose records only pass through is every
// few megabytes; with the floor it is every 32 MiB at the most often, and a large heap grows as ever.
var heapFloor []byte

const heapFloorSize = 32 << 20

// RaiseHeapFloor makes the collector run less often in a process whose heap is small. Whoever set
// GOGC or GOMEMLIMIT has decided otherwise. A TaskManager sets the latter too: there the floor, which Go counts like
// memory that is used, is to be a small part of it.
func RaiseHeapFloor() {
	if heapFloor == nil && os.Getenv("GOGC") == "" && floorFits(os.Getenv("GOMEMLIMIT"), os.Getenv(memoryVariable)) {
		heapFloor = make([]byte, heapFloorSize)
	}
}

// memoryVariable is in the environment of a task process whose TaskManager limits its memory: to so many bytes.
const memoryVariable = "PERENNIAL_MEMORY"

func floorFits(goLimit, memory string) bool {
	n, err := strconv.ParseInt(memory, 10, 64)
	return goLimit == "" || err == nil && n >= 8*heapFloorSize
}
