package disk

import (
	"log/slog"
	"runtime/debug"
	"strconv"
)

// memoryVariable is in the environment of a task process whose TaskManager limits its memory: to so many bytes.
const memoryVariable = "PERENNIAL_MEMORY"

// mostOfMemory: one of so many parts of the memory of a task process is for stores at most.
const mostOfMemory = 2

// fitInto fits the budget into the memory of the task process, if a TaskManager limits it. What the stores take is not all known to
// Go's collector (with cgo, Pebble's caches are not), and without room for it both together would be more than there is.
func (s *store) fitInto(memory string) {
	n, err := strconv.ParseInt(memory, 10, 64)
	if err != nil || n <= 0 {
		return
	}
	if most := n / mostOfMemory; s.budget > most {
		slog.Warn("disk.Budget is lowered to half of the memory of the task process: give the TaskManager more (taskmanager.memory), or fewer slots",
			"budget", s.budget, "lowered", most, "memory", n)
		s.budget = most
	}
	if outsideHeap {
		debug.SetMemoryLimit(debug.SetMemoryLimit(-1) - s.budget)
	}
}
