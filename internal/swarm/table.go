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
		return []rpc.Message{t.report()}
	case rpc.Plan:
		return []rpc.Message{rpc.Planned{Job: m.Spec.ID, Request: m.Request, Graph: graph(m.Spec)}}
	case rpc.Deploy:
		return []rpc.Message{t.deploy(m)}
	case rpc.Trigger:
		return t.checkpoint(m)
	case rpc.Stop:
		p := part{m.Job, m.Region}
		t.promised[p] = max(t.promised[p], m.Attempt)
		delete(t.parts, p)
		return []rpc.Message{rpc.Stopped{Job: m.Job, Region: m.Region, Attempt: t.promised[p]}}
	case rpc.Confirm:
		delete(t.parts, part{m.Job, m.Region})
	}
	return nil
}

// graph is the plan of every job: one vertex, which never ends.
func graph(s job.Spec) *job.Graph {
	return &job.Graph{Name: s.Name, MaxParallelism: 1024, Vertices: []job.Vertex{{Name: "count", Parallelism: max(1, s.Parallelism)}}}
}

func (t *table) deploy(d rpc.Deploy) rpc.Message {
	p := part{d.Spec.ID, d.Region}
	if d.Attempt <= t.promised[p] {
		return rpc.Stopped{Job: p.job, Region: p.region, Attempt: t.promised[p]}
	}
	if t.isNew(d) {
		t.parts[p] = &attempt{number: d.Attempt, subtasks: d.Subtasks}
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

// checkpoint contributes to a checkpoint, once (R5).
func (t *table) checkpoint(m rpc.Trigger) []rpc.Message {
	a := t.parts[part{m.Job, m.Region}]
	if a == nil || a.number != m.Attempt || m.Checkpoint <= a.taken {
		return nil
	}
	a.taken = m.Checkpoint
	answer := rpc.Acknowledge{Job: m.Job, Attempt: m.Attempt}
	for _, s := range a.subtasks {
		answer.Acks = append(answer.Acks, job.Acknowledgement{Checkpoint: m.Checkpoint, Subtask: s, States: []job.StateHandle{state}})
	}
	return []rpc.Message{answer}
}

// state is that of every subtask.
var state = func() job.StateHandle {
	data := []byte("a few bytes of state")
	return job.StateHandle{
		Operator: "count", State: "counts", Kind: job.ValueState, Data: data, Size: int64(len(data)), CRC: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)),
	}
}()
