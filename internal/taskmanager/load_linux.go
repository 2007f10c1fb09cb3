package taskmanager

import (
	"github.com/prometheus/procfs"

	"github.com/perennial-io/perennial/internal/rpc"
)

// measure tells how busy the host is, and what the children have in memory; false: it cannot be told.
func measure(pids []int) (load rpc.Load, known bool) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return load, false
	}
	average, err := proc.LoadAvg()
	if err != nil {
		return load, false
	}
	load.Average = average.Load1
	for _, pid := range pids {
		p, err := proc.Proc(pid)
		if err != nil {
			continue // it has just ended
		}
		if stat, err := p.Stat(); err == nil {
			load.Processes++
			load.Memory += int64(stat.ResidentMemory())
		}
	}
	return load, true
}
