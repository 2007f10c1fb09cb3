package execution

import (
	"cmp"
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
	e.last = false
	e.forgetCheckpoint()
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

// noteReport takes over a report about a part of the committed assignment. A subtask's end is final: a
// message that was overtaken does not revive it.
func (e *Execution) noteReport(p *part, r rpc.AttemptReport) {
	if p.crash == "" {
		p.crash, p.crashKilled = r.Failure, r.Killed
	}
	for _, reported := range r.Subtasks {
		s := e.find(reported.Subtask)
		if s == nil || e.partOf(reported.Subtask) != p || s.state.Terminal() {
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

// reported tells whether every subtask of the part has been reported.
func (e *Execution) reported(p *part) bool {
	return !slices.ContainsFunc(p.Subtasks, func(s job.Subtask) bool { return !e.find(s).reported })
}

// killed tells which regions have a subtask whose task process was killed, and how the first was; "": none has.
func (e *Execution) killed() (regions []int, reason string) {
	e.eachOf(func(p *part, _ job.Subtask, s *subtask) {
		if s.state == job.Failed && s.killed {
			regions, reason = append(regions, p.regions...), cmp.Or(reason, s.failure)
		}
	})
	return regions, reason
}

// crashed is a part whose task process ended after its subtasks had finished; nil: none.
func (e *Execution) crashed() *part {
	i := slices.IndexFunc(e.parts, func(p part) bool { return p.crash != "" && !e.givenUp(&p) })
	if i < 0 {
		return nil
	}
	return &e.parts[i]
}

// damaged is the checkpoint that a subtask could not restore, and why; 0: there is none.
func (e *Execution) damaged() (id job.CheckpointID, why string) {
	e.each(func(s *subtask) {
		if id == 0 && s.state == job.Failed && s.damaged != 0 {
			id, why = s.damaged, s.failure
		}
	})
	return id, why
}

// failure is that of the first subtask that failed by itself, or "".
func (e *Execution) failure() (failure string) {
	e.eachOf(func(_ *part, id job.Subtask, s *subtask) {
		if failure == "" && s.state == job.Failed && !s.killed {
			failure = cmp.Or(s.failure, "a subtask of "+e.graph.Vertices[id.Vertex].Name+" failed and gave no reason")
		}
	})
	return failure
}

func (e *Execution) allFinished() bool {
	all := len(e.subtasks) > 0 && len(e.committed.GivenUp) == 0
	e.each(func(s *subtask) { all = all && s.state == job.Finished })
	return all
}

// settling reports whether nothing but a checkpoint keeps the job from its end.
func (e *Execution) settling() bool {
	some, all := false, len(e.committed.GivenUp) == 0
	e.each(func(s *subtask) {
		all = all && (s.state == job.Finished || s.settling)
		some = some || s.settling
	})
	return some && all
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
	if len(p.Subtasks) != len(p.Counters) {
		return
	}
	for i, id := range p.Subtasks {
		if of, s := e.partOf(id), e.find(id); of != nil && s != nil && of.Attempt == p.Attempt {
			s.before, s.counters = s.counters, p.Counters[i]
			for name, op := range s.counters.Operators {
				op.Metrics = job.ValidMetrics(op.Metrics)
				s.counters.Operators[name] = op
			}
		}
	}
}
