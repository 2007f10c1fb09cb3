package minicluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func (c *Cluster) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.t.Context(), patience)
}

// Until waits for a condition. It looks after each event of the cluster, and every few milliseconds.
func (c *Cluster) Until(what string, condition func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		_, changed := c.chronicle.read()
		if condition() {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// Happened reports how many events there were that match accepts.
func (c *Cluster) Happened(match func(Event) bool) int {
	events, _ := c.chronicle.read()
	return len(slices.DeleteFunc(events, func(e Event) bool { return !match(e) }))
}

// Await waits until there was an event that match accepts.
func (c *Cluster) Await(what string, match func(Event) bool) {
	c.t.Helper()
	c.Until(what, func() bool { return c.Happened(match) > 0 })
}

// Leader waits for the JobManager that leads under the newest epoch and answers clients.
func (c *Cluster) Leader() *JobManager {
	c.t.Helper()
	var leader *JobManager
	c.Until("a JobManager leads", func() bool {
		in := c.Leadership()
		for _, j := range c.JobManagers {
			if self := j.Self(); in.Epoch > 0 && self.ID == in.ID && self.Role == "leader" && self.Epoch == in.Epoch {
				leader = j
			}
		}
		return leader != nil
	})
	return leader
}

// Leadership is what coordination says about who leads.
func (c *Cluster) Leadership() coordination.Leadership {
	c.t.Helper()
	ctx, cancel := c.patience()
	defer cancel()
	l, err := c.observer.Leader(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// Standbys are the JobManagers that live and do not lead.
func (c *Cluster) Standbys() []*JobManager {
	c.t.Helper()
	leader := c.Leader()
	return slices.DeleteFunc(slices.Clone(c.JobManagers), func(j *JobManager) bool { return j == leader || !j.Alive() })
}

// Settle waits until a JobManager leads, every other that lives holds a connection to it, every
// TaskManager that lives has registered with every JobManager and has reported to the
// leader; those that are cut off from each other excepted.
func (c *Cluster) Settle() {
	c.t.Helper()
	leader := c.Leader()
	epoch := c.Leadership().Epoch
	for _, j := range c.JobManagers {
		if j != leader && j.Alive() && !c.network.isCut(leader.name, j.name) {
			c.awaitMessage(leader.life(), j.life(), "", rpc.Greeting{}, epoch)
		}
	}
	for _, m := range c.TaskManagers {
		if !m.Alive() {
			continue
		}
		c.Until(m.name+" registers", func() bool { return m.Instance() != "" })
		for _, j := range c.JobManagers {
			if j.Alive() && !c.network.isCut(j.name, m.name) {
				c.awaitMessage(j.life(), m.life(), m.Instance(), rpc.Welcome{}, 0)
			}
		}
		if !c.network.isCut(leader.name, m.name) {
			c.awaitMessage(m.life(), leader.life(), m.Instance(), rpc.Report{}, epoch)
		}
	}
}

// awaitMessage waits for a message of the kind of m, under an epoch unless that is 0.
func (c *Cluster) awaitMessage(from, to *process, instance string, m rpc.Message, epoch coordination.Epoch) {
	c.t.Helper()
	c.Await(fmt.Sprintf("%s says %s to %s under epoch %d", from.name, m.Kind(), to.name, epoch), func(e Event) bool {
		return e.Kind == Sent && e.Message.Kind() == m.Kind() && e.Process == from.name && e.To == to.name &&
			e.Instance == instance && (epoch == 0 || e.Epoch == epoch)
	})
}

// Reach waits until a job is as wanted, and returns it.
func (c *Cluster) Reach(id client.ID, what string, wanted func(client.Job) bool) client.Job {
	c.t.Helper()
	var j client.Job
	c.Until(fmt.Sprintf("job %s %s", id.Short(), what), func() bool {
		j = c.Job(id)
		return wanted(j)
	})
	return j
}

// Running waits until every subtask of a job runs or has finished, under this attempt.
func (c *Cluster) Running(id client.ID, attempt job.Attempt) client.Job {
	c.t.Helper()
	return c.Reach(id, fmt.Sprintf("runs attempt %d", attempt), func(j client.Job) bool {
		for _, v := range j.Vertices {
			for _, s := range v.Subtasks {
				if s.State != job.Finished && (s.State != job.Running || s.PID == 0) {
					return false
				}
			}
		}
		return j.State == job.Running && j.Attempt == attempt && len(j.Vertices) > 0
	})
}

// End waits until a job has ended, and until the TaskManagers that it ran on and that live have
// been told that its end is committed.
func (c *Cluster) End(id client.ID) client.Job {
	c.t.Helper()
	j := c.Reach(id, "has ended", func(j client.Job) bool { return j.State.Terminal() })
	c.Closed(id, j.Attempt)
	return j
}

// Closed waits until the TaskManagers that an attempt was deployed to, and that can hear of it,
// have been told that its end is committed.
func (c *Cluster) Closed(id client.ID, attempt job.Attempt) {
	c.t.Helper()
	leader := c.Leader()
	for _, m := range c.TaskManagers {
		if !m.Alive() || c.network.isCut(leader.name, m.name) {
			continue
		}
		instance := m.Instance()
		has := func(what rpc.Message) bool {
			return c.Happened(func(e Event) bool {
				of, n := about(e.Message)
				return e.Kind == Sent && e.Message.Kind() == what.Kind() && e.Instance == instance && of == id && n == attempt && !e.Lost
			}) > 0
		}
		if has(rpc.Deploy{}) {
			c.Until(m.name+" is told of the end of job "+id.Short(), func() bool { return has(rpc.Confirm{}) })
		}
	}
}
