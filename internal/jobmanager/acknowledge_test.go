package jobmanager

import (
	"testing"

	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// A request whose commit is refused, as the leader was replaced meanwhile, is not acknowledged:
// its client asks again, and the next leader does it (R9, I7).
func TestRefusedCommitIsNotAcknowledged(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })

	l := a.leading.Load()
	a.cut() // the commit of the cancel is on its way …
	done := l.jobs.find(id).ask(execution.CancelRequested{})
	w.usurp() // … when another claims
	a.heal()
	<-l.ctx.Done()
	l.wg.Wait()
	select {
	case <-done:
		t.Error("a cancel was acknowledged, and its commit was refused")
	default:
	}
}
