package taskmanager

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
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

// beat answers a heartbeat of the leader, with the load if that was measured since the last answer over this link.
func (t *table) beat(l *link, m rpc.Heartbeat) {
	if load := t.load.Load(); load != l.load {
		l.load, m.Load = load, load
	}
	t.post(l, m)
}
