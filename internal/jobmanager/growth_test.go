package jobmanager

import (
	"runtime"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// Hundreds of changes of leader leave nothing behind, in two processes that see all of them and
// with a job that runs all the while.
func TestManyChangesLeaveNothingBehind(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("jm-a"), w.start("jm-b")
	tm := w.taskManager("tm-1", 2).start()
	id := w.submit(w.leader())
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	change := func() {
		before := max(a.Self().Epoch, b.Self().Epoch)
		w.usurp()
		w.eventually("the next leads", func() bool { return max(a.servingEpoch(), b.servingEpoch()) > uint64(before)+1 })
	}
	settled := func() (goroutines int, heap uint64) {
		w.eventually("the job is adopted", func() bool { j := w.job(id); return j.State == job.Running && j.Vertices[0].Subtasks[0].PID == 4711 })
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	for range 20 {
		change()
	}
	before, heapBefore := settled()
	for range 200 {
		change()
	}
	after, heapAfter := settled()
	t.Logf("goroutines %d, then %d; heap %d kB, then %d kB", before, after, heapBefore>>10, heapAfter>>10)
	if after > before+10 || heapAfter > heapBefore+2<<20 {
		t.Errorf("200 changes of leader: goroutines %d, then %d; heap %d kB, then %d kB", before, after, heapBefore>>10, heapAfter>>10)
	}
	if n := tm.did("deploys attempt 2 slots [0 1]"); n != 0 || tm.did("deploys attempt 1 slots [0 1]") != 1 {
		t.Errorf("the TaskManager: %q", tm.history())
	}
}

func (n *node) servingEpoch() uint64 {
	if l := n.serving.Load(); l != nil {
		return uint64(l.term.Epoch())
	}
	return 0
}
