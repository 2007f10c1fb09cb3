package oracle

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// manager is a TaskManager: what it promises, holds and tells is what internal/taskmanager does.
type manager struct {
	w         *world
	name      string
	connected bool
	killed    bool    // nothing of it is left
	parts     []*part // by region, as they came
}

// part is what it has of a region.
type part struct {
	*manager
	region   int
	promised job.Attempt // none up to this one begins here any more
	current  *attempt    // runs, or has ended and is not confirmed
}

// attempt is what a TaskManager knows of one.
type attempt struct {
	rpc.AttemptReport
	process *process // nil once it has ended
	acks    map[job.Subtask]job.Acknowledgement
}

// join adds a TaskManager, which registers.
func (w *world) join() {
	w.named++
	m := &manager{w: w, name: fmt.Sprintf("tm-%d", w.named), connected: true}
	w.managers = append(w.managers, m)
	m.report()
}

// tell gives the leader an event, if the connection stands.
func (m *manager) tell(e execution.Event) {
	if m.connected {
		m.w.tell(e)
	}
}

// part returns what there is, or will be, of a region.
func (m *manager) part(region int) *part {
	for _, p := range m.parts {
		if p.region == region {
			return p
		}
	}
	p := &part{manager: m, region: region}
	m.parts = append(m.parts, p)
	return p
}

// running are the parts that have a process.
func (m *manager) running() (list []*part) {
	for _, p := range m.parts {
		if p.current != nil && p.current.process != nil {
			list = append(list, p)
		}
	}
	return list
}

// report is what a leader is told that is new here.
func (m *manager) report() {
	ready := execution.Ready{Instance: m.name}
	for _, p := range m.parts {
		if p.current != nil {
			ready.Attempts = append(ready.Attempts, p.current.AttemptReport)
		}
	}
	m.tell(ready)
	for _, p := range m.parts {
		if p.current == nil {
			continue
		}
		for _, ack := range p.current.acks {
			m.tell(execution.Acknowledged{Instance: m.name, Attempt: p.current.Attempt, Ack: ack})
		}
	}
}

func (m *part) deploy(in execution.Intent, d execution.Deploy) {
	switch {
	case m.current != nil && m.current.Attempt == d.Attempt:
		m.changed(m.current.Subtasks)
	case m.promised >= d.Attempt:
		m.stop(m.promised)
	default:
		m.end()
		m.promised = d.Attempt - 1
		m.start(in, d)
	}
}

func (m *part) start(in execution.Intent, d execution.Deploy) {
	a := &attempt{AttemptReport: rpc.AttemptReport{Job: in.Spec.ID, Region: d.Region, Attempt: d.Attempt}, acks: map[job.Subtask]job.Acknowledgement{}}
	for _, s := range d.Subtasks {
		a.Subtasks = append(a.Subtasks, rpc.SubtaskReport{Subtask: s, State: job.Deploying})
	}
	m.current = a
	var err error
	if a.process, err = m.w.startProcess(m, in, d); err != nil {
		m.w.fail("start attempt %d: %v", d.Attempt, err)
		return
	}
	m.changed(a.Subtasks)
}

// changed tells of the attempt, of some of its subtasks.
func (m *part) changed(subtasks []rpc.SubtaskReport) {
	r := m.current.AttemptReport
	r.Subtasks = append([]rpc.SubtaskReport(nil), subtasks...)
	m.tell(execution.Changed{Instance: m.name, Attempt: r})
}

// said takes what a process says of a subtask. A final state stays.
func (m *part) said(p *process, r rpc.SubtaskReport) {
	if m.current == nil || m.current.process != p {
		return
	}
	for i := range m.current.Subtasks {
		if s := &m.current.Subtasks[i]; s.Subtask == r.Subtask && !s.State.Terminal() {
			*s = r
			m.changed([]rpc.SubtaskReport{r})
		}
	}
}

// holds keeps an acknowledgement until its checkpoint is closed (R12), and tells it.
func (m *part) holds(p *process, ack job.Acknowledgement) {
	if m.current == nil || m.current.process != p {
		return
	}
	m.current.acks[ack.Subtask] = ack
	m.tell(execution.Acknowledged{Instance: m.name, Attempt: m.current.Attempt, Ack: ack})
}

func (m *part) stop(n job.Attempt) {
	m.promised = max(m.promised, n)
	if m.current != nil && m.current.Attempt <= n {
		m.end()
	}
	m.tell(execution.Stopped{Part: execution.Part{Instance: m.name, Region: m.region, Attempt: n}})
}

func (m *part) confirm(n job.Attempt) {
	m.promised = max(m.promised, n)
	if m.current != nil && m.current.Attempt <= n {
		m.end()
		m.current = nil
	}
}

// end ends the process politely.
func (m *part) end() { m.exit(rpc.SubtaskReport{State: job.Canceled}, (*process).cancel) }

// kill ends the process with a signal.
func (m *part) kill() {
	m.exit(rpc.SubtaskReport{State: job.Failed, Killed: true, Failure: "the task process was killed by signal 9 (killed)"}, (*process).kill)
}

// end ends every process politely.
func (m *manager) end() {
	for _, p := range m.parts {
		p.end()
	}
}

// kill ends every process with a signal.
func (m *manager) kill() {
	for _, p := range m.parts {
		p.kill()
	}
}

// exit ends the process, if there is one, and tells how: each subtask that had not ended is as r.
func (m *part) exit(r rpc.SubtaskReport, how func(*process)) {
	if m.current == nil || m.current.process == nil {
		return
	}
	a := m.current
	p := a.process
	a.process = nil
	how(p)
	unfinished := false
	for i := range a.Subtasks {
		unfinished = unfinished || a.Subtasks[i].State != job.Finished
		if s := &a.Subtasks[i]; !s.State.Terminal() {
			r.Subtask = s.Subtask
			*s = r
		}
	}
	if !unfinished {
		a.Failure, a.Killed = r.Failure, r.Killed
	}
	m.changed(a.Subtasks)
}

func (m *part) trigger(t execution.Trigger) {
	if m.current != nil && m.current.Attempt == t.Attempt && m.current.process != nil {
		m.current.process.exec.Trigger(t.Checkpoint, t.Base, t.Stop)
	}
}

func (m *part) closed(c execution.Closed) {
	if m.current == nil || m.current.Attempt != c.Attempt {
		return
	}
	for s, ack := range m.current.acks {
		if ack.Checkpoint <= c.Checkpoint {
			delete(m.current.acks, s)
		}
	}
	if m.current.process != nil {
		m.current.process.exec.Closed(c.Checkpoint, c.Completed, c.Published, c.Resume)
	}
}
