package taskmanager

import (
	"context"
	"os"
	"strconv"
	"time"
)

// loadInterval is how often the load is measured. What is newest travels with the answers to heartbeats.
const loadInterval = 2 * time.Second

// watchLoad measures until ctx ends.
func (n *node) watchLoad(ctx context.Context) {
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	for {
		if load, known := measure(n.work.pids()); known {
			n.load.Store(&load)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pids are those of the children that may be alive.
func (w *workDir) pids() (list []int) {
	files, err := os.ReadDir(w.processes())
	if err != nil {
		return nil
	}
	for _, f := range files {
		if pid, err := strconv.Atoi(f.Name()); err == nil {
			list = append(list, pid)
		}
	}
	return list
}
