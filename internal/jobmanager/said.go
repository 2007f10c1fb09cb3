package jobmanager

import (
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// said: a TaskManager has sent a message.
type said struct {
	s *session
	m rpc.Message
}

func (h said) apply(r *registry) {
	t := r.managers[h.s.register.Instance]
	if t == nil || t.session != h.s || !t.led || t.record.State != live {
		return
	}
	if report, ok := h.m.(rpc.Report); ok {
		r.report(t, report)
		return
	}
	if !t.ready {
		return // what matters is in the Report that comes first
	}
	switch m := h.m.(type) {
	case rpc.Status:
		r.status(t, m.AttemptReport)
	case rpc.Stopped:
		r.stopped(t, m)
	case rpc.Acknowledge:
		for _, ack := range m.Acks {
			r.tell(m.Job, execution.Acknowledged{Instance: t.instance, Attempt: m.Attempt, Ack: ack})
		}
	case rpc.Progress:
		r.tell(m.Job, execution.Progressed{Progress: m})
	case rpc.Planned:
		r.planned(t, m)
	case rpc.Farewell:
		r.declare(t, farewellReason(m), leftInOrder)
	}
}

// report makes a TaskManager usable, and tells each job that has to do with it.
func (r *registry) report(t *taskManager, report rpc.Report) {
	t.ready = true
	attempts := make(map[job.ID][]rpc.AttemptReport)
	for id := range r.holders(t.instance) {
		attempts[id] = nil
	}
	for _, a := range report.Attempts {
		attempts[a.Job] = append(attempts[a.Job], a)
	}
	for id, list := range attempts {
		if r.jobs.find(id) != nil {
			r.tell(id, execution.Ready{Instance: t.instance, Attempts: list})
			continue
		}
		for _, a := range list {
			r.stray(t, a)
		}
	}
	r.allot()
	r.dispatch()
}

func (r *registry) status(t *taskManager, a rpc.AttemptReport) {
	if r.jobs.find(a.Job) == nil {
		r.stray(t, a)
		return
	}
	r.tell(a.Job, execution.Changed{Instance: t.instance, Attempt: a})
}

func (r *registry) stopped(t *taskManager, m rpc.Stopped) {
	switch {
	case r.jobs.unreadable(m.Job):
	case r.jobs.find(m.Job) == nil:
		t.session.post(r.header, rpc.Confirm(m))
	default:
		r.tell(m.Job, execution.Stopped{Part: execution.Part{Instance: t.instance, Region: m.Region, Attempt: m.Attempt}})
	}
}

// stray ends an attempt of a job that was never committed. One whose intent cannot be read
// runs on: a person can still mend that.
func (r *registry) stray(t *taskManager, a rpc.AttemptReport) {
	if r.jobs.unreadable(a.Job) {
		return
	}
	r.log.Warn("a TaskManager runs a job that nobody submitted; it is stopped", "taskmanager", t.instance, "job", a.Job, "attempt", a.Attempt)
	t.session.post(r.header, rpc.Stop{Instance: t.instance, Job: a.Job, Region: a.Region, Attempt: a.Attempt})
}
