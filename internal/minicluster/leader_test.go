package minicluster_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/minicluster"
	"github.com/perennial-io/perennial/internal/rpc"
)

// decided accepts the commit of a phase.
func decided(phase execution.Phase) func(minicluster.Event) bool {
	return func(e minicluster.Event) bool { return e.Kind == minicluster.Decided && e.Intent.Phase == phase }
}

// sent accepts messages of the kind of m.
func sent(m rpc.Message) func(minicluster.Event) bool {
	return func(e minicluster.Event) bool { return e.Kind == minicluster.Sent && e.Message.Kind() == m.Kind() }
}

func TestLeaderKilledWhileRunning(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	c.Step("A client submits a job with a parallelism of 4.")
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)

	c.Step("The leader is killed. Nobody tells the tasks, and they go on.")
	c.Leader().Kill()
	c.Settle()
	untouched(t, before, c.Running(k.id, 1))

	c.Step("The job comes to its end.")
	k.finish(1)
	golden(t, c, "leader-killed")
}

// The job has no slots yet, so that the leader's memory of it is all that could be lost.
func TestLeaderKilledWhileCreated(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 1, Spares: 1})
	k := newCounting(t, c).submit()
	c.Reach(k.id, "waits for slots", missing(2))
	c.Leader().Kill()
	c.Settle()
	if j := c.Reach(k.id, "waits for slots", missing(2)); j.State != job.Created || j.Attempt != 0 {
		t.Errorf("it waits as %s after %d attempts", j.State, j.Attempt)
	}
	c.TaskManagers[1].Start()
	c.Running(k.id, 1)
	k.finish(1)
}

// The attempt is committed and nobody has heard of it: the next leader deploys it.
func TestLeaderKilledBetweenCommitAndDeploy(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	c.Step("A client submits a job. The leader commits its first attempt; what it sends then is still on its way.")
	trap := c.Trap(sent(rpc.Deploy{}))
	k := newCounting(t, c).submit()
	trap.Caught(2)

	c.Step("The leader is killed. The next one finds an attempt that is committed and does not run: it deploys it, and it is the same attempt.")
	c.Leader().Kill()
	trap.Release()
	c.Settle()
	c.Running(k.id, 1)

	c.Step("The job comes to its end.")
	k.finish(1)
	golden(t, c, "leader-killed-before-deploy")
}

// The list of outputs is committed, and no file of it renamed.
func TestLeaderKilledWhilePublishing(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	c.Step("A job runs.")
	k := newCounting(t, c).submit()
	c.Running(k.id, 1)

	c.Step("Every subtask has finished. The leader commits the list of files that are to become visible.")
	trap := c.Trap(decided(execution.Publishing))
	k.open()
	trap.Caught(1)
	if got := k.visible(); len(got) > 0 {
		t.Errorf("before the end of the job is committed, visible are %q", got)
	}
	c.Step("The leader is killed before it renames the first of them. The next one reads the list and renames.")
	c.Leader().Kill()
	trap.Release()
	c.Settle()
	k.finish(1)
	golden(t, c, "leader-killed-while-publishing")
}

func TestLeaderKilledWhileCancelling(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	k := newCounting(t, c).submit()
	c.Running(k.id, 1)
	trap := c.Trap(sent(rpc.Stop{}))
	c.Cancel(k.id)
	trap.Caught(2)
	c.Leader().Kill()
	trap.Release()
	c.Settle()
	if j := c.End(k.id); j.State != job.Canceled || j.Attempt != 1 {
		t.Errorf("the job is %s after %d attempts", j.State, j.Attempt)
	}
	if k.hidden() > 0 || len(k.visible()) > 0 {
		t.Errorf("a cancelled job leaves %d hidden files and %q", k.hidden(), k.visible())
	}
}

// The leader dies with some files renamed and others not.
func TestLeaderKilledHalfWayThroughPublishing(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{TaskManagers: 2})
	k := newCounting(t, c).submit()
	c.Running(k.id, 1)
	trap := c.Trap(decided(execution.Publishing))
	k.open()
	trap.Caught(1)
	c.JobManagers[0].Kill()
	trap.Release()
	for i, path := range k.files(".part-*") { // what the leader would have done, the more so
		visible, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), "."), ".inprogress-")
		if i%2 == 0 {
			if err := os.Rename(path, filepath.Join(filepath.Dir(path), visible)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.JobManagers[0].Start()
	c.Settle()
	k.finish(1)
}

func TestTwoLeadersKilledInARow(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 3, TaskManagers: 2})
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	c.Leader().Kill()
	c.Leader().Kill() // as soon as it leads, whoever has followed it by then
	c.Settle()
	if epoch := c.Leadership().Epoch; epoch != 3 {
		t.Errorf("epoch %d, want one for each leader", epoch)
	}
	untouched(t, before, c.Running(k.id, 1))
	k.finish(1)
}

// Tasks run on with no JobManager at all.
func TestAllJobManagersKilledAndStarted(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	c.Step("A job runs.")
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)

	c.Step("Both JobManagers are killed. The job runs on.")
	for _, j := range c.JobManagers {
		j.Kill()
	}
	c.Step("One of them is started again. It hears what runs, and leaves it as it is.")
	c.JobManagers[0].Start()
	c.Settle()
	untouched(t, before, c.Running(k.id, 1))

	c.Step("The other is started, too.")
	c.JobManagers[1].Start()
	c.Settle()

	c.Step("The job comes to its end.")
	k.finish(1)
	golden(t, c, "all-jobmanagers-killed")
}

// Tasks that come to their end while nobody leads are heard of by the next leader (R12).
func TestJobEndsWithoutJobManagers(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 1, TaskManagers: 2})
	k := newCounting(t, c).submit()
	c.Running(k.id, 1)
	c.JobManagers[0].Kill()
	k.open()
	k.written()
	if got := k.visible(); len(got) > 0 {
		t.Errorf("with nobody to commit the end of the job, visible are %q", got)
	}
	c.JobManagers[0].Start()
	k.finish(1)
}

// A leader that loses coordination freezes: it commits nothing, acknowledges nothing, stops
// nothing. When it is back it goes on under its epoch (R10).
func TestLeaderCutFromCoordination(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	k := newCounting(t, c).submit()
	c.Running(k.id, 1)
	leader := c.Leader()

	leader.CutCoordination()
	spec := c.Spec("count", 1, k.args()...)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if j, err := c.Client().Submit(ctx, spec); err == nil {
		t.Errorf("acknowledged without coordination: %+v", j)
	}
	k.open()
	c.Until("every subtask has told the leader that it has finished", func() bool {
		return c.Happened(func(e minicluster.Event) bool {
			m, is := e.Message.(rpc.Status)
			return is && len(m.Subtasks) == 1 && m.Subtasks[0].State == job.Finished
		}) == 2+4+4
	})
	if n := c.Happened(decided(execution.Publishing)); n > 0 || len(k.visible()) > 0 {
		t.Errorf("without coordination %d ends are committed, visible are %q", n, k.visible())
	}

	leader.HealCoordination()
	k.finish(1)
	if now := c.Leadership(); now.Epoch != 1 || c.Leader() != leader {
		t.Errorf("epoch %d of %s, want the first to go on", now.Epoch, now.ID)
	}
	if n := c.Happened(sent(rpc.Stop{})); n > 0 {
		t.Errorf("%d tasks were stopped", n)
	}
}

// A leader that is cut off from everybody is replaced. When it is back its epoch is over,
// whatever it wanted meanwhile.
func TestLeaderCutOffIsFenced(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2, Slots: 3, HeartbeatTimeout: time.Second})
	c.Step("A job runs.")
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	old := c.Leader()
	late := newCounting(t, c)
	spec := c.Spec("count", 1, late.args()...)

	c.Step("The leader, %s, is cut off from coordination, from the TaskManagers and from the other JobManager, which takes over.", old.Name())
	old.CutCoordination()
	for _, other := range []string{"jm-2", "tm-1", "tm-2"} {
		c.Cut(old.Name(), other)
	}
	answered := submitTo(t, old, spec) // it still thinks that it leads
	c.Until("another leads", func() bool { return c.Leader() != old })
	c.Settle()
	if role := old.Self().Role; role != "leader" {
		t.Fatalf("the one that is cut off knows already that it is a %s: the test shows nothing", role)
	}

	c.Step("The old leader is back. It has been asked for another job meanwhile: its commit is refused, and the client finds the new leader.")
	old.HealCoordination()
	for _, other := range []string{"jm-2", "tm-1", "tm-2"} {
		c.Heal(old.Name(), other)
	}
	if err := <-answered; err != nil {
		t.Errorf("the client that had asked the old leader: %v", err)
	}
	c.Settle()
	late.id = spec.ID
	c.Running(late.id, 1)
	untouched(t, before, c.Running(k.id, 1))

	c.Step("The first job comes to its end.")
	k.finish(1)
	c.Step("So does the other.")
	late.finish(1)
	golden(t, c, "leader-cut-off")
}

// submitTo submits to one JobManager, and follows where that leads.
func submitTo(t *testing.T, j *minicluster.JobManager, spec client.Spec) <-chan error {
	answered := make(chan error, 1)
	to := client.New(client.Fixed(j.REST()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := to.Submit(t.Context(), spec)
		answered <- err
	}()
	t.Cleanup(func() { <-done; to.Close() })
	return answered
}

// A standby that cannot reach a leader who is well takes over all the same: that is harmless.
func TestLeaderCutFromStandby(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2, HeartbeatTimeout: time.Second})
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	old := c.Leader()
	c.Cut("jm-1", "jm-2")
	c.Until("the standby takes over", func() bool { return c.Leadership().Epoch == 2 })
	c.Heal("jm-1", "jm-2") // else the other way round, and so on
	c.Settle()
	c.Until("the old leader stands by", func() bool { return old.Self().Role == "standby" })
	untouched(t, before, c.Running(k.id, 1))
	if c.Leader() == old {
		t.Errorf("the old leader leads")
	}
	k.finish(1)
}

// A leader that lives goes on when its session has expired.
func TestSessionOfLeaderExpires(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{TaskManagers: 2})
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	c.JobManagers[0].ExpireSession()
	c.Await("the term goes on over a new session", func(e minicluster.Event) bool { return e.Kind == minicluster.Resumed && e.Epoch == 1 })
	untouched(t, before, c.Running(k.id, 1))
	k.finish(1)
	if l := c.Leadership(); l.Epoch != 1 || !l.Alive {
		t.Errorf("epoch %d, alive %v", l.Epoch, l.Alive)
	}
}

// With a standby there is a race for the epoch: who wins it does not matter to any task.
func TestSessionOfLeaderExpiresBesideAStandby(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	c.JobManagers[0].ExpireSession()
	c.Await("one of them goes on", func(e minicluster.Event) bool {
		return e.Kind == minicluster.Resumed || e.Kind == minicluster.Claimed && e.Epoch == 2
	})
	c.Settle()
	untouched(t, before, c.Running(k.id, 1))
	k.finish(1)
}
