package minicluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/minicluster"
	"github.com/perennial-io/perennial/internal/rpc"
)

// holder is the TaskManager that has a slot of a running job.
func holder(t *testing.T, c *minicluster.Cluster, j client.Job, slot int) *minicluster.TaskManager {
	t.Helper()
	instance := j.Vertices[len(j.Vertices)-1].Subtasks[slot].TaskManager
	for _, m := range c.TaskManagers {
		if m.Alive() && m.Instance() == instance {
			return m
		}
	}
	t.Fatalf("no TaskManager is %q, which has slot %d", instance, slot)
	return nil
}

// The job starts over, waits for slots, and its first attempt leaves nothing that can be seen.
func TestTaskManagerKilled(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 1, TaskManagers: 2, Spares: 1})
	c.Step("A job runs.")
	k := newCounting(t, c).submit()
	lost := holder(t, c, c.Running(k.id, 1), 1)

	c.Step("The TaskManager %s is killed. There is no other for its slots: the job waits.", lost.Name())
	lost.Kill()
	if j := c.Reach(k.id, "waits for slots", missing(2)); j.State != job.Created || j.SlotsNeeded != 4 {
		t.Errorf("it waits as %s for %d slots", j.State, j.SlotsNeeded)
	}
	c.Closed(k.id, 1)

	c.Step("Another TaskManager is started. The job starts over, under another attempt.")
	c.TaskManagers[2].Start()
	c.Settle()
	c.Running(k.id, 2)
	if got := k.visible(); len(got) > 0 {
		t.Errorf("visible before the job has ended: %q", got)
	}

	c.Step("The job comes to its end.")
	k.finish(2)
	golden(t, c, "taskmanager-killed")
}

// A TaskManager that ends politely says so, and its tasks start over elsewhere.
func TestTaskManagerStopped(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{TaskManagers: 3})
	k := newCounting(t, c).submit()
	holder(t, c, c.Running(k.id, 1), 0).Stop()
	if n := c.Happened(sent(rpc.Farewell{})); n != 1 {
		t.Errorf("it has said farewell %d times", n)
	}
	c.Running(k.id, 2)
	k.finish(2)
}

// A TaskManager is started again in its old place, after its death.
func TestTaskManagerKilledAndStarted(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	k := newCounting(t, c).submit()
	m := holder(t, c, c.Running(k.id, 1), 1)
	m.Kill()
	m.Start()
	c.Settle()
	c.Running(k.id, 2)
	k.finish(2)
}

// A TaskManager that was silent for too long is declared dead. Its tasks run on beside their
// successors until it hears of that; nothing of theirs is ever seen.
func TestTaskManagerDeclaredDeadComesBack(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 3, TaskManagerTimeout: 1500 * time.Millisecond})
	c.Step("A job runs.")
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	away := holder(t, c, before, 0)

	c.Step("The TaskManager %s is cut off from the JobManagers. It is declared dead after a while, and the job starts over on the others. The old tasks run on.", away.Name())
	for _, j := range c.JobManagers {
		c.Cut(j.Name(), away.Name())
	}
	c.Running(k.id, 2)
	c.Closed(k.id, 1)
	zombie := before.Vertices[0].Subtasks[0].PID
	if ended(t, zombie) {
		t.Errorf("process %d has ended, though its TaskManager has heard of nothing", zombie)
	}

	c.Step("It is back, and hears that it was declared dead: it ends its tasks, and comes as a new instance.")
	for _, j := range c.JobManagers {
		c.Heal(j.Name(), away.Name())
	}
	c.Until("the old tasks have ended", func() bool { return ended(t, zombie) })
	c.Await("the old instance is refused", func(e minicluster.Event) bool {
		m, is := e.Message.(rpc.Refused)
		return is && m.Dead
	})
	old := before.Vertices[0].Subtasks[0].TaskManager
	c.Until("there is a new instance", func() bool { return away.Instance() != old })
	c.Settle()

	c.Step("The job comes to its end.")
	k.finish(2)
	golden(t, c, "taskmanager-comes-back")
}

// Slots are missing: the job waits, says how many, and starts when they come.
func TestSlotsMissing(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{Spares: 2})
	k := newCounting(t, c)
	c.TaskManagers[0].Start()
	k.submit()
	if j := c.Reach(k.id, "waits for slots", missing(2)); j.State != job.Created || j.SlotsNeeded != 4 {
		t.Errorf("it waits as %s for %d slots", j.State, j.SlotsNeeded)
	}
	c.TaskManagers[1].Start()
	c.Running(k.id, 1)
	k.finish(1)
}

// A user function panics: the job fails and says where, and the TaskManager takes the next job.
func TestUserFunctionPanics(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{TaskManagers: 1})
	instance := c.TaskManagers[0].Instance()
	j := c.End(c.Submit("panics", 2))
	if j.State != job.Failed || j.Attempt != 1 {
		t.Errorf("the job is %s after %d attempts", j.State, j.Attempt)
	}
	for _, want := range []string{`operator "faulty"`, "subtask 1", "77 is too much", "main_test.go:"} {
		if !strings.Contains(j.Failure, want) {
			t.Errorf("the failure does not say %q:\n%s", want, j.Failure)
		}
	}
	k := newCounting(t, c)
	k.id = c.Submit("count", 2, k.args()...)
	c.Running(k.id, 1)
	k.finish(1)
	if now := c.TaskManagers[0].Instance(); now != instance {
		t.Errorf("the TaskManager was %s and is %s", instance, now)
	}
}

func TestCancel(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 1, TaskManagers: 2})
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	c.Cancel(k.id)
	if j := c.End(k.id); j.State != job.Canceled {
		t.Errorf("the job is %s", j.State)
	}
	allEnded(t, c, before)
	if k.hidden() > 0 || len(k.visible()) > 0 {
		t.Errorf("a cancelled job leaves %d hidden files and %q", k.hidden(), k.visible())
	}
	c.Cancel(k.id) // once more changes nothing
	if j := c.Job(k.id); j.State != job.Canceled {
		t.Errorf("the job is %s", j.State)
	}
	for _, phase := range []execution.Phase{execution.Cancelling, execution.Canceled} {
		if n := c.Happened(decided(phase)); n != 1 {
			t.Errorf("%s is committed %d times", phase, n)
		}
	}
}

// A client cancels a job that waits for slots.
func TestCancelBeforeItRuns(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{TaskManagers: 1})
	k := newCounting(t, c).submit()
	c.Reach(k.id, "waits for slots", missing(2))
	c.Cancel(k.id)
	if j := c.End(k.id); j.State != job.Canceled || j.Attempt != 0 {
		t.Errorf("the job is %s after %d attempts", j.State, j.Attempt)
	}
	if n := c.Happened(sent(rpc.Deploy{})); n > 0 {
		t.Errorf("it was deployed %d times", n)
	}
}

// faults are what changes or frees the leadership of a cluster of three.
var faults = map[string]func(c *minicluster.Cluster){
	"leader killed":  func(c *minicluster.Cluster) { c.Leader().Kill() },
	"leader stopped": func(c *minicluster.Cluster) { c.Leader().Stop() },
	"session expires": func(c *minicluster.Cluster) {
		c.Leader().ExpireSession()
	},
	"two leaders killed": func(c *minicluster.Cluster) {
		c.Leader().Kill()
		c.Leader().Kill()
	},
	"all killed, one started": func(c *minicluster.Cluster) {
		for _, j := range c.JobManagers {
			j.Kill()
		}
		c.JobManagers[2].Start()
	},
	"leader without coordination": func(c *minicluster.Cluster) {
		leader := c.Leader()
		leader.CutCoordination()
		c.JobManagers[1].Kill() // something to wait for
		leader.HealCoordination()
	},
}

// What clients ask for during a change happens once, and no client is told that it failed.
func TestRequestsDuringChanges(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			c := minicluster.Start(t, minicluster.Config{JobManagers: 3, TaskManagers: 2, Slots: 4})
			doomed := newCounting(t, c).submit()
			c.Running(doomed.id, 1)
			late := newCounting(t, c)
			spec := c.Spec("count", 4, late.args()...)
			late.id = spec.ID

			requests := []func() error{
				func() error { _, err := c.Client().Jobs(t.Context()); return err },
				func() error { _, err := c.Client().Cancel(t.Context(), doomed.id); return err },
				func() error { _, err := c.Client().Cancel(t.Context(), doomed.id); return err },
			}
			for range 4 {
				requests = append(requests, func() error { _, err := c.Client().Submit(t.Context(), spec); return err })
			}
			results := make(chan error, len(requests))
			for _, request := range requests {
				go func() { results <- request() }()
			}
			fault(c)
			for range requests {
				if err := <-results; err != nil {
					t.Errorf("a request at that moment: %v", err)
				}
			}
			c.Settle()
			if j := c.End(doomed.id); j.State != job.Canceled {
				t.Errorf("the cancelled job is %s", j.State)
			}
			c.Running(late.id, 1)
			late.finish(1)
			once(t, c, doomed.id, execution.Canceled)
			once(t, c, late.id, execution.Finished)
		})
	}
}

// once requires that a job was created, started and ended once, whoever led.
func once(t *testing.T, c *minicluster.Cluster, id client.ID, end execution.Phase) {
	t.Helper()
	jobs, err := c.Client().Jobs(t.Context())
	if err != nil || len(jobs) != 2 || !slices.ContainsFunc(jobs, func(s client.Summary) bool { return s.ID == id }) {
		t.Errorf("jobs are %+v (%v), want the two that were submitted", jobs, err)
	}
	for _, phase := range []execution.Phase{execution.Created, execution.Running, end} {
		n := c.Happened(func(e minicluster.Event) bool {
			return decided(phase)(e) && e.Job() == id && (phase != execution.Running || e.Intent.Reserved == 0) // else it is about a checkpoint
		})
		if n != 1 {
			t.Errorf("job %s became %s %d times", id.Short(), phase, n)
		}
	}
}
