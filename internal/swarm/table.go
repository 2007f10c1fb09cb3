package swarm

import (
	"hash/crc32"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// table is what a TaskManager runs, and has promised not to run.
type table struct {
	parts    map[part]*attempt
	promised map[part]job.Attempt
}

// part is a region of a job.
type part struct {
	job    job.ID
	region int
}

// attempt is of a part.
type attempt struct {
	number   job.Attempt
	subtasks []job.Subtask
	taken    job.CheckpointID // the newest checkpoint that it has contributed to
	closed   job.CheckpointID // the newest that is known to be closed: until then its contribution is held
	seconds  uint64           // that it has run for, as its counters tell
}

func newTable() table { return table{map[part]*attempt{}, map[part]job.Attempt{}} }

// isNew tells whether a part is not running yet, and may be.
func (t *table) isNew(d rpc.Deploy) bool {
	p := part{d.Spec.ID, d.Region}
	a := t.parts[p]
	return d.Attempt > t.promised[p] && (a == nil || a.number < d.Attempt)
}

// answer does what a message says, and returns what is said to it.
func (t *table) answer(m rpc.Message) []rpc.Message {
	switch m := m.(type) {
	case rpc.Heartbeat:
		return []rpc.Message{m}
	case rpc.Lead:
		return append([]rpc.Message{t.report()}, t.held()...)
	case rpc.Plan:
		return []rpc.Message{rpc.Planned{Job: m.Spec.ID, Request: m.Request, Graph: graph(m.Spec)}}
	case rpc.Deploy:
		return []rpc.Message{t.deploy(m)}
	case rpc.Trigger:
		return t.checkpoint(m)
	case rpc.Closed:
		if a := t.parts[part{m.Job, m.Region}]; a != nil && a.number == m.Attempt {
			a.closed = max(a.closed, m.Checkpoint)
		}
	case rpc.Stop:
		t.end(part{m.Job, m.Region}, m.Attempt)
		return []rpc.Message{rpc.Stopped{Job: m.Job, Region: m.Region, Attempt: m.Attempt}}
	case rpc.Confirm:
		t.end(part{m.Job, m.Region}, m.Attempt)
	}
	return nil
}

// end ends attempts up to n, and promises that none of them will run (R6). It says nothing of higher ones (R5).
func (t *table) end(p part, n job.Attempt) {
	t.promised[p] = max(t.promised[p], n)
	if a := t.parts[p]; a != nil && a.number <= n {
		delete(t.parts, p)
	}
}

// graph is the plan of every job: one vertex, which never ends.
func graph(s job.Spec) *job.Graph {
	return &job.Graph{Name: s.Name, MaxParallelism: 1024, Vertices: []job.Vertex{{Name: "count", Parallelism: max(1, s.Parallelism)}}}
}

func (t *table) deploy(d rpc.Deploy) rpc.Message {
	p := part{d.Spec.ID, d.Region}
	if t.isNew(d) {
		t.promised[p] = d.Attempt - 1
		t.parts[p] = &attempt{number: d.Attempt, subtasks: d.Subtasks}
	}
	if d.Attempt <= t.promised[p] {
		return rpc.Stopped{Job: p.job, Region: p.region, Attempt: t.promised[p]}
	}
	return rpc.Status{AttemptReport: t.parts[p].report(p)}
}

func (a *attempt) report(p part) rpc.AttemptReport {
	r := rpc.AttemptReport{Job: p.job, Region: p.region, Attempt: a.number, PID: 4711}
	for _, s := range a.subtasks {
		r.Subtasks = append(r.Subtasks, rpc.SubtaskReport{Subtask: s, State: job.Running})
	}
	return r
}

func (t *table) report() (r rpc.Report) {
	for p, a := range t.parts {
		r.Attempts = append(r.Attempts, a.report(p))
	}
	return r
}

// held is what was contributed to checkpoints of which it is not known yet that they are closed (R12).
func (t *table) held() (all []rpc.Message) {
	for p, a := range t.parts {
		if a.taken > a.closed {
			all = append(all, a.contribution(p))
		}
	}
	return all
}

// progress is what the attempts say every second.
func (t *table) progress() (all []rpc.Message) {
	for p, a := range t.parts {
		a.seconds++
		m := rpc.Progress{Job: p.job, Attempt: a.number, Subtasks: a.subtasks}
		for range a.subtasks {
			n := 1000 * a.seconds
			m.Counters = append(m.Counters, job.Counters{
				In: n, Out: n, BusyNanos: 400e6 * a.seconds, BlockedNanos: 100e6 * a.seconds, IdleNanos: 500e6 * a.seconds,
				Operators: map[string]job.OperatorCounters{"count": {In: n, Out: n}},
			})
		}
		all = append(all, m)
	}
	return all
}

// checkpoint contributes to a checkpoint, once (R5).
func (t *table) checkpoint(m rpc.Trigger) []rpc.Message {
	p := part{m.Job, m.Region}
	a := t.parts[p]
	if a == nil || a.number != m.Attempt || m.Checkpoint <= a.taken {
		return nil
	}
	a.taken = m.Checkpoint
	return []rpc.Message{a.contribution(p)}
}

// contribution is to the checkpoint that was taken last.
func (a *attempt) contribution(p part) rpc.Acknowledge {
	m := rpc.Acknowledge{Job: p.job, Attempt: a.number}
	for _, s := range a.subtasks {
		m.Acks = append(m.Acks, job.Acknowledgement{Checkpoint: a.taken, Subtask: s, States: []job.StateHandle{state}})
	}
	return m
}

// state is that of every subtask.
var state = func() job.StateHandle {
	data := []byte("a few bytes of state")
	return job.StateHandle{
		Operator: "count", State: "counts", Kind: job.ValueState, Data: data, Size: int64(len(data)), CRC: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)),
	}
}()
