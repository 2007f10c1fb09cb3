package simulator

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

const (
	watchedJob      = job.ID("0dc4e4ff8c0070008000000000000001")
	watchedInstance = "tm-watched"
)

// watched is a checker, and a JobManager and a TaskManager between which a test passes messages as it likes.
type watched struct {
	*checker
	jm, tm *process
	link   *conn // the TaskManager's end
}

func newWatched() *watched {
	w := &world{net: newNetwork(nil), disk: newDisk(nil), hosts: map[string]*host{}}
	w.net.tap = newTap()
	c := &watched{checker: newChecker(w)}
	w.check = c.checker
	c.jm, c.tm = w.newProcess(w.addHost("jm-1", "10.0.0.1"), "jm-1"), w.newProcess(w.addHost("tm-1", "10.0.1.1"), "tm-1")
	c.link, _ = w.net.join(c.tm, c.jm, nil, nil)
	w.net.tap.instances[c.link], w.net.tap.instances[c.link.peer] = watchedInstance, watchedInstance
	c.commits(execution.Intent{Phase: execution.Running, Attempt: 2, Checkpoints: execution.Checkpoints{Reserved: 7, Open: 7}})
	return c
}

func (c *watched) commits(in execution.Intent) {
	in.Spec.ID = watchedJob
	c.jobs[watchedJob] = &in
}

// says has messages of a leader come to the TaskManager.
func (c *watched) says(epoch coordination.Epoch, messages ...rpc.Message) {
	for _, m := range messages {
		c.heard(c.jm, c.tm, c.link, rpc.Header{Epoch: epoch}, m)
		time.Sleep(time.Second)
	}
}

// answers has a message of the TaskManager come to the leader.
func (c *watched) answers(m rpc.Message) { c.heard(c.tm, c.jm, c.link.peer, rpc.Header{}, m) }

func deployOf(attempt job.Attempt) rpc.Deploy {
	return rpc.Deploy{Instance: watchedInstance, Spec: job.Spec{ID: watchedJob}, Attempt: attempt}
}

func triggerOf(attempt job.Attempt, id job.CheckpointID) rpc.Trigger {
	return rpc.Trigger{Instance: watchedInstance, Job: watchedJob, Attempt: attempt, Checkpoint: id}
}

func closedOf(attempt job.Attempt, id job.CheckpointID, published bool) rpc.Closed {
	return rpc.Closed{Instance: watchedInstance, Job: watchedJob, Attempt: attempt, Checkpoint: id, Published: published}
}

func stopOf(attempt job.Attempt) rpc.Stop {
	return rpc.Stop{Instance: watchedInstance, Job: watchedJob, Attempt: attempt}
}

// runs has a task process of an attempt begin.
func (c *watched) runs(attempt job.Attempt) *task {
	t := &task{process: c.w.newProcess(c.tm.host, "tm-1/1"), of: c.tm, deploy: deployOf(attempt)}
	c.begins(t)
	time.Sleep(time.Second)
	return t
}

// gives has it contribute to a checkpoint.
func (c *watched) gives(t *task, id job.CheckpointID) {
	c.acknowledged(t, job.Acknowledgement{Checkpoint: id})
	time.Sleep(time.Second)
}

func report(attempts ...job.Attempt) (r rpc.Report) {
	for _, a := range attempts {
		r.Attempts = append(r.Attempts, rpc.AttemptReport{Job: watchedJob, Attempt: a})
	}
	return r
}

func acknowledge(attempt job.Attempt, id job.CheckpointID) rpc.Acknowledge {
	return rpc.Acknowledge{Job: watchedJob, Attempt: attempt, Acks: []job.Acknowledgement{{Checkpoint: id}}}
}

// Each thing that a TaskManager may do wrong is found, and what it does right is not. "": nothing is to be found.
func TestCheckerFinds(t *testing.T) {
	for _, course := range []struct {
		what, rule string
		happens    func(c *watched)
	}{
		{"a deploy, a trigger and a completion are obeyed", "", func(c *watched) {
			c.says(1, deployOf(2))
			p := c.runs(2)
			c.says(1, triggerOf(2, 7))
			c.triggered(p, triggerOf(2, 7))
			c.commits(execution.Intent{Phase: execution.Running, Attempt: 2, Checkpoints: execution.Checkpoints{Reserved: 7}})
			c.completed[completion{watchedJob, 7}] = true
			c.toldClosed(p, closedOf(2, 7, true))
			c.says(1, stopOf(2))
			c.toldToEnd(p)
		}},
		{"a deploy of a lower epoch", "I4", func(c *watched) { c.says(2, rpc.Lead{}); c.says(1, deployOf(2)); c.runs(2) }},
		{"a trigger of a lower epoch", "I4", func(c *watched) {
			c.says(1, deployOf(2))
			p := c.runs(2)
			c.says(2, rpc.Lead{})
			c.says(1, triggerOf(2, 7))
			c.triggered(p, triggerOf(2, 7))
		}},
		{"a trigger of a lower epoch, after the same of this one", "I4", func(c *watched) {
			c.says(2, deployOf(2), triggerOf(2, 7))
			p := c.runs(2)
			c.triggered(p, triggerOf(2, 7))
			c.says(1, triggerOf(2, 7))
			c.triggered(p, triggerOf(2, 7))
		}},
		{"a stop of a lower epoch", "I4", func(c *watched) {
			c.says(2, deployOf(2))
			p := c.runs(2)
			c.says(1, stopOf(2))
			c.toldToEnd(p)
		}},
		{"a stop of the attempt before", "I4", func(c *watched) {
			c.says(1, deployOf(2))
			p := c.runs(2)
			c.says(1, stopOf(1))
			c.toldToEnd(p)
		}},
		{"the TaskManager itself ends", "", func(c *watched) {
			c.says(1, deployOf(2))
			p := c.runs(2)
			c.tm.leaving = true
			c.toldToEnd(p)
		}},
		{"an attempt that nobody has committed", "I3", func(c *watched) { c.says(1, deployOf(3)); c.runs(3) }},
		{"an attempt that has begun before", "I3", func(c *watched) { c.says(1, deployOf(2)); c.runs(2); c.says(1, deployOf(2)); c.runs(2) }},
		{"an attempt of which it was promised that it will not run", "R6", func(c *watched) {
			c.says(1, stopOf(2))
			c.answers(rpc.Stopped{Job: watchedJob, Attempt: 2})
			c.says(1, deployOf(2))
			c.runs(2)
		}},
		{"a trigger of another attempt", "R5", func(c *watched) {
			c.says(1, deployOf(2))
			p := c.runs(2)
			c.says(1, triggerOf(1, 7))
			c.triggered(p, triggerOf(1, 7))
		}},
		{"a checkpoint that nobody has reserved", "R3", func(c *watched) {
			c.says(1, deployOf(2))
			p := c.runs(2)
			c.says(1, triggerOf(2, 8))
			c.triggered(p, triggerOf(2, 8))
		}},
		{"a completion of another attempt", "R5", func(c *watched) { c.says(1, deployOf(2)); c.toldClosed(c.runs(2), closedOf(1, 6, false)) }},
		{"a completion that nobody has committed", "R3", func(c *watched) { c.says(1, deployOf(2)); c.toldClosed(c.runs(2), closedOf(2, 7, false)) }},
		{"output of a checkpoint that was aborted", "R3", func(c *watched) { c.says(1, deployOf(2)); c.toldClosed(c.runs(2), closedOf(2, 6, true)) }},
		{"a leader is told all that is held", "", func(c *watched) {
			c.says(1, deployOf(2))
			c.gives(c.runs(2), 7)
			c.says(2, rpc.Lead{})
			c.answers(report(2))
			c.answers(acknowledge(2, 7))
			c.beats(c.link)
		}},
		{"a leader is not told of an attempt", "R12", func(c *watched) {
			c.says(1, deployOf(2))
			c.runs(2)
			c.says(2, rpc.Lead{})
			c.answers(report())
		}},
		{"a leader is not told of an attempt that is confirmed", "", func(c *watched) {
			c.says(1, deployOf(2))
			c.runs(2)
			c.says(2, rpc.Lead{}, rpc.Confirm{Job: watchedJob, Attempt: 2})
			c.answers(report())
		}},
		{"a leader is not told of an acknowledgement", "R12", func(c *watched) {
			c.says(1, deployOf(2))
			c.gives(c.runs(2), 7)
			c.says(2, rpc.Lead{})
			c.answers(report(2))
			c.answers(acknowledge(2, 6))
			c.beats(c.link)
		}},
		{"a leader is not told of what is closed", "", func(c *watched) {
			c.says(1, deployOf(2))
			c.gives(c.runs(2), 7)
			c.says(2, rpc.Lead{}, closedOf(2, 7, false))
			c.answers(report(2))
			c.beats(c.link)
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newWatched()
			course.happens(c)
			found := slices.ContainsFunc(c.violations, func(v string) bool { return strings.HasPrefix(v, course.rule+": ") })
			if course.rule == "" && len(c.violations) > 0 || course.rule != "" && !found {
				t.Errorf("%s: the checker has found %q, want %q\n%s", course.what, c.violations, course.rule, strings.Join(c.story, "\n"))
			}
		})
	}
}

// What the checker looks for could have happened: seeds come to where a rule is needed.
func TestSeedsTempt(t *testing.T) {
	missing := map[string]bool{}
	for _, rule := range []string{"R2 deploy", "R2 trigger", "R2 stop", "R2 confirm", "R2 closed", "R2 lead", "R5", "R6", "R12 of an end", "R12 of an acknowledgement"} {
		missing[rule] = true
	}
	const most = 150
	for seed := uint64(1); len(missing) > 0 && seed <= most; seed++ {
		for rule, n := range run(t, Draw(seed), Options{}).Tempted {
			if n > 0 && missing[rule] {
				t.Logf("%s: seed %d", rule, seed)
				delete(missing, rule)
			}
		}
	}
	for rule := range missing {
		t.Errorf("in %d seeds nothing happened that %s is for", most, rule)
	}
}
