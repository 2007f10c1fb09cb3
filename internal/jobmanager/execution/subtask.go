package execution

import (
	"slices"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// subtask is what is known of one subtask of the committed attempt.
type subtask struct {
	state    job.State // Deploying until its TaskManager has reported it
	reported bool
	pid      int
	failure  string
	killed   bool
	damaged  job.CheckpointID
	settling bool // waits for its last checkpoint
	// committed is the checkpoint of a stop whose transactions are all committed, and lower ones' too.
	committed job.CheckpointID
	outputs   []job.Output
	counters  job.Counters
	before    job.Counters // one Progress earlier, for shares of time
}

// resetSubtasks forgets the attempt before.
func (e *Execution) resetSubtasks() {
	e.crash, e.crashKilled, e.last = "", false, false
	e.forgetCheckpoint()
	e.drained = nil
	if e.graph == nil {
		return
	}
	e.subtasks = make([][]subtask, len(e.graph.Vertices))
	for v := range e.subtasks {
		e.subtasks[v] = make([]subtask, e.graph.Vertices[v].Parallelism)
		for i := range e.subtasks[v] {
			e.subtasks[v][i].state = job.Deploying
		}
	}
}

// find returns a subtask of the committed attempt, or nil if the graph has no such.
func (e *Execution) find(s job.Subtask) *subtask {
	if s.Vertex < 0 || s.Vertex >= len(e.subtasks) || s.Index < 0 || s.Index >= len(e.subtasks[s.Vertex]) {
		return nil
	}
	return &e.subtasks[s.Vertex][s.Index]
}

// noteReport takes over a report about the committed attempt. A subtask's end is final: a
// message that was overtaken does not revive it.
func (e *Execution) noteReport(instance string, r rpc.AttemptReport) {
	if e.crash == "" {
		e.crash, e.crashKilled = r.Failure, r.Killed
	}
	for _, reported := range r.Subtasks {
		s := e.find(reported.Subtask)
		if s == nil || e.committed.Assignment[reported.Subtask.Index] != instance || s.state.Terminal() {
			continue
		}
		s.state, s.reported, s.pid = reported.State, true, r.PID
		s.failure, s.outputs = reported.Failure, reported.Outputs
		s.killed, s.damaged, s.settling = reported.Killed, reported.Damaged, reported.Settling
		s.committed = max(s.committed, reported.Committed)
	}
}

// committed reports whether the sinks that commit their output themselves have done so for all that
// checkpoints up to id name.
func (e *Execution) committedUpTo(id job.CheckpointID) bool {
	commits := func(op job.Operator) bool {
		return slices.ContainsFunc(op.States, func(s job.StateType) bool { return s.Kind == job.CommittablesState })
	}
	for v, vertex := range e.graph.Vertices {
		if !slices.ContainsFunc(vertex.Operators, commits) {
			continue
		}
		if slices.ContainsFunc(e.subtasks[v], func(s subtask) bool { return s.state != job.Finished && s.committed < id }) {
			return false
		}
	}
	return true
}

// reported tells whether every subtask of the slots has been reported.
func (e *Execution) reported(slots []int) bool {
	for _, slot := range slots {
		for _, s := range e.graph.SlotSubtasks(slot) {
			if !e.find(s).reported {
				return false
			}
		}
	}
	return true
}

// killed says how a task process of the attempt was killed, or "".
func (e *Execution) killed() string {
	for v := range e.subtasks {
		for _, s := range e.subtasks[v] {
			if s.state == job.Failed && s.killed {
				return s.failure
			}
		}
	}
	return ""
}

// damaged is the checkpoint that a subtask could not restore, and why; 0: there is none.
func (e *Execution) damaged() (job.CheckpointID, string) {
	for v := range e.subtasks {
		for _, s := range e.subtasks[v] {
			if s.state == job.Failed && s.damaged != 0 {
				return s.damaged, s.failure
			}
		}
	}
	return 0, ""
}

// failure is that of the first subtask that failed by itself, or "".
func (e *Execution) failure() string {
	for v := range e.subtasks {
		for _, s := range e.subtasks[v] {
			if s.state != job.Failed || s.killed {
				continue
			}
			if s.failure == "" {
				return "a subtask of " + e.graph.Vertices[v].Name + " failed and gave no reason"
			}
			return s.failure
		}
	}
	return ""
}

func (e *Execution) allFinished() bool {
	for v := range e.subtasks {
		for _, s := range e.subtasks[v] {
			if s.state != job.Finished {
				return false
			}
		}
	}
	return len(e.subtasks) > 0
}

// settling reports whether nothing but a checkpoint keeps the job from its end.
func (e *Execution) settling() bool {
	some := false
	for v := range e.subtasks {
		for _, s := range e.subtasks[v] {
			if s.state != job.Finished && !s.settling {
				return false
			}
			some = some || s.settling
		}
	}
	return some
}

// outputs lists what finished subtasks wrote, by vertex and index: each leader makes the
// same list.
func (e *Execution) outputs() []job.Output {
	var list []job.Output
	for v := range e.subtasks {
		for _, s := range e.subtasks[v] {
			list = append(list, s.outputs...)
		}
	}
	return list
}

func (e *Execution) absorbProgress(p rpc.Progress) {
	if p.Attempt != e.committed.Attempt || len(p.Subtasks) != len(p.Counters) {
		return
	}
	for i := range p.Subtasks {
		if s := e.find(p.Subtasks[i]); s != nil {
			s.before, s.counters = s.counters, p.Counters[i]
		}
	}
}
