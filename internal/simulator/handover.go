package simulator

import (
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// margin is by how much one thing must have come to a TaskManager before another to be before it in its eyes too.
const margin = 5 * time.Millisecond

// handover is what a TaskManager owes a leader that has told it that it leads (R12): each attempt whose outcome nobody has
// confirmed, then each acknowledgement of a checkpoint that nobody has closed.
type handover struct {
	attempts []*task
	acks     []owed
	reported bool // the attempts were told
}

// owed is an acknowledgement that is held.
type owed struct {
	by      *task
	subtask job.Subtask
	given
}

// given is an acknowledgement: of which checkpoint, and when.
type given struct {
	checkpoint job.CheckpointID
	at         time.Time
}

// led begins a handover: an instance has heard who leads.
func (c *checker) led(to *process, link *conn, instance string) {
	if c.handovers[link] != nil || to.frozen || time.Since(to.resumed) < margin {
		return
	}
	o := &handover{}
	for _, t := range c.begun {
		if t.deploy.Instance != instance || time.Since(t.since) < margin || c.isConfirmed(t) {
			continue
		}
		o.attempts = append(o.attempts, t)
		for subtask, g := range t.given {
			if time.Since(g.at) > margin {
				o.acks = append(o.acks, owed{t, subtask, g})
			}
		}
	}
	c.handovers[link] = o
	c.tempt("R12 of an end", slices.ContainsFunc(o.attempts, func(t *task) bool { return !t.alive() }))
	c.tempt("R12 of an acknowledgement", len(o.acks) > 0)
}

// confirms notes that what came of attempts up to one is known, so that the instance may forget them.
func (c *checker) confirms(of part, attempt job.Attempt) {
	c.confirmed[of] = max(c.confirmed[of], attempt)
	c.over[of] = max(c.over[of], attempt)
}

func (c *checker) isConfirmed(t *task) bool { return t.deploy.Attempt <= c.confirmed[t.part()] }

// closes notes that an attempt may forget what it contributed to checkpoints up to one.
func (c *checker) closes(m rpc.Closed) {
	for _, t := range c.begun {
		if t.part() != (part{m.Instance, m.Job, m.Region}) || t.deploy.Attempt != m.Attempt {
			continue
		}
		for subtask, g := range t.given {
			if g.checkpoint <= m.Checkpoint {
				delete(t.given, subtask)
			}
		}
	}
}

// handed takes in what an instance has said over a connection to a JobManager.
func (c *checker) handed(link *conn, m rpc.Message) {
	o := c.handovers[link]
	if o == nil {
		return
	}
	switch m := m.(type) {
	case rpc.Report:
		o.reported = true
		for _, t := range o.attempts {
			d := t.deploy
			told := slices.ContainsFunc(m.Attempts, func(a rpc.AttemptReport) bool {
				return a.Job == d.Spec.ID && a.Region == d.Region && a.Attempt == d.Attempt
			})
			if !told && !c.isConfirmed(t) {
				c.found("R12", "%s tells a leader nothing of %s, which ran attempt %d of region %d of job %s, and nobody has confirmed what came of it", d.Instance, t.name, d.Attempt, d.Region, d.Spec.ID.Short())
			}
		}
	case rpc.Acknowledge:
		o.acks = slices.DeleteFunc(o.acks, func(a owed) bool {
			return a.by.deploy.Spec.ID == m.Job && a.by.deploy.Attempt == m.Attempt && slices.ContainsFunc(m.Acks, func(ack job.Acknowledgement) bool {
				return ack.Subtask == a.subtask && ack.Checkpoint == a.checkpoint
			})
		})
	}
}

// beats: an instance has answered a heartbeat, and before that all that it held. The network's mutex is held.
func (c *checker) beats(link *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.handovers[link]
	if o == nil || !o.reported {
		return
	}
	delete(c.handovers, link)
	for _, a := range o.acks {
		if !c.isConfirmed(a.by) && a.by.given[a.subtask] == a.given {
			c.found("R12", "%s tells a leader nothing of what %s has contributed of subtask %v to checkpoint %d of job %s, which nobody has closed",
				a.by.deploy.Instance, a.by.name, a.subtask, a.checkpoint, a.by.deploy.Spec.ID.Short())
		}
	}
}
