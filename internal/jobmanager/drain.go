package jobmanager

import (
	"cmp"
	"context"
	"fmt"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// DrainTaskManager commits that a TaskManager is to be left by the jobs that have slots there, and is to end then. It is
// refused if there are too few slots elsewhere, unless it is forced. To ask again changes nothing; asked of one that has ended, it
// tells whether that was in order.
func (jm *JobManager) DrainTaskManager(ctx context.Context, instance string, force bool) error {
	l, err := jm.current(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	refusal, err := ask(limited, l, func(answer chan<- error) happening { return drainAsked{instance, force, answer} })
	if err != nil && ctx.Err() == nil && l.ctx.Err() == nil {
		err = unavailable(err)
	}
	return cmp.Or(err, refusal)
}

// drainAsked: a client wants a TaskManager to be left. The answer has room for one.
type drainAsked struct {
	instance string
	force    bool
	answer   chan<- error
}

func (h drainAsked) apply(r *registry) {
	m := r.managers[h.instance]
	switch {
	case m != nil && m.record.State == dead && m.record.Draining && m.record.Planned:
		h.answer <- nil
	case m != nil && m.record.State == dead && m.record.Draining:
		h.answer <- &api.Error{Code: api.Conflict, Message: fmt.Sprintf(
			"TaskManager %s died before its end was in order: %s. What jobs still had there is a failure, and goes on from their newest checkpoints", h.instance, m.record.Reason)}
	case m == nil || m.record.State == dead:
		h.answer <- &api.Error{Code: api.NotFound, Message: fmt.Sprintf("there is no TaskManager %s; perennial taskmanagers lists them", h.instance)}
	case m.busy || m.doom != "":
		h.answer <- &api.Error{Code: api.Unavailable, Message: "something else is being committed about the TaskManager; ask again"}
	case m.record.Draining && (m.record.Force || !h.force):
		h.answer <- nil
	default:
		if err := r.refuseDrain(m, h.force); err != nil {
			h.answer <- err
			return
		}
		record := m.record
		record.Draining, record.Force = true, h.force
		m.asked = h.answer
		r.commitRecord(m, record)
	}
}

// refuseDrain says why a TaskManager cannot be drained, or nil.
func (r *registry) refuseDrain(m *taskManager, force bool) error {
	here, others := r.toMove(m)
	elsewhere := 0
	for instance, free := range r.free() {
		if instance != m.instance {
			elsewhere += max(free, 0)
		}
	}
	switch {
	case !m.ready:
		return &api.Error{Code: api.Conflict, Message: fmt.Sprintf("TaskManager %s is not connected: what is there cannot be moved in order", m.instance)}
	case force || here == 0 || here+others <= elsewhere:
		return nil
	}
	also := ""
	if others > 0 {
		also = fmt.Sprintf(" and %d on others that are drained", others)
	}
	return &api.Error{Code: api.Conflict, Message: fmt.Sprintf(
		"jobs have %d slots on TaskManager %s%s, and %d are free elsewhere: %d are missing. Start TaskManagers, or force it: then jobs stop at once, and wait for slots",
		here, m.instance, also, elsewhere, here+others-elsewhere)}
}

// toMove counts the slots that jobs have on a TaskManager, and those on others that are drained for which no slots are
// reserved yet.
func (r *registry) toMove(m *taskManager) (here, others int) {
	for id, claim := range r.claims {
		leaving := 0
		for _, instance := range claim {
			if instance == m.instance {
				here++
			} else if other := r.managers[instance]; other != nil && other.record.Draining && other.record.State == live {
				leaving++
			}
		}
		others += max(leaving-r.reserved[id], 0)
	}
	return here, others
}

// drains tells the jobs that have slots on a TaskManager that they are to leave it, which is committed.
func (r *registry) drains(m *taskManager) {
	r.log.Info("a TaskManager is drained: it is given no slots any more, and ends when no job has any there", "taskmanager", m.instance,
		"host", m.record.Host, "force", m.record.Force)
	for id := range r.holders(m.instance) {
		r.tell(id, execution.Draining{Instance: m.instance, Force: m.record.Force})
	}
	r.replan(m.instance)
}

// retire ends a TaskManager that is drained, once no job has anything there.
func (r *registry) retire(m *taskManager) {
	if m.record.Draining && m.ready && m.doom == "" && !m.retired && len(r.holders(m.instance)) == 0 {
		m.retired = true
		m.session.post(r.header, rpc.Retire{Instance: m.instance})
	}
}

// offers reports whether a TaskManager can be given something to do.
func (m *taskManager) offers() bool {
	return m.ready && m.record.State == live && m.doom == "" && !m.record.Draining
}
