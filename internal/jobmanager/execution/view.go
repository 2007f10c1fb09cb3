package execution

import (
	"cmp"
	"slices"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// Adopted reports whether every live TaskManager that the committed intent counts on has
// said what it runs.
func (e *Execution) Adopted() bool {
	if !e.committed.Holds() {
		return true
	}
	return !slices.ContainsFunc(e.committed.instances(), func(name string) bool {
		i := e.instance(name)
		return !i.connected && !i.dead
	})
}

// View is the job as the API shows it. It shares no memory with the execution.
func (e *Execution) View() api.Job {
	in := &e.committed
	v := api.Job{
		Summary: api.Summary{
			ID: in.Spec.ID, Name: cmp.Or(in.Name, in.Spec.Name), State: in.Phase.State(),
			Submitted: in.Submitted, Finished: in.Finished, Parallelism: cmp.Or(in.Slots, in.Spec.Parallelism, 1),
		},
		SlotsNeeded:  in.Slots,
		Attempt:      in.Attempt,
		Restarts:     in.TotalRestarts,
		Failure:      in.Failure,
		SlotsMissing: e.missing,
		LeaseWait:    e.leaseWait(),
		Vertices:     []api.Vertex{},
		Checkpoints:  e.viewCheckpoints(),
		Requests:     viewRequests(in.Requests.Requests),
		Forgotten:    in.Forgotten,
	}
	if e.graph == nil {
		return v
	}
	v.Name, v.SlotsNeeded, v.Parallelism = e.graph.Name, e.graph.Slots(), e.graph.Slots()
	for i := range e.graph.Vertices {
		v.Vertices = append(v.Vertices, e.viewVertex(i))
	}
	boundMetrics(v.Vertices)
	return v
}

// leaseWait is the lease that the next attempt waits for longest; nil: it waits for none.
func (e *Execution) leaseWait() (wait *api.LeaseWait) {
	for k := range e.parts {
		p := &e.parts[k]
		i := e.instance(p.Instance)
		starts := e.committed.Phase == Restarting || e.committed.Phase == Running && e.givenUp(p)
		if starts && i.dead && i.mayRun(p) && (wait == nil || i.until.After(wait.Until)) {
			wait = &api.LeaseWait{TaskManager: p.Instance, Until: i.until}
		}
	}
	return wait
}

func (e *Execution) viewCheckpoints() api.Checkpoints {
	in := &e.committed
	v := api.Checkpoints{Completed: []api.Checkpoint{}, InProgress: in.Open, Aborted: in.Aborted, LastAbort: in.LastAbort, Damaged: in.Damaged, Failures: in.Failures, Notes: in.Notes}
	if in.Open != 0 {
		since := in.ReservedAt
		v.Since = &since
	}
	v.Completions = in.Completions
	if in.Restore != nil {
		v.Restored, v.Savepoint = in.Restore.Checkpoint, in.Restore.Savepoint
	}
	for _, p := range in.Completed {
		v.Completed = append(v.Completed, api.Checkpoint{
			ID: p.Checkpoint, Attempt: p.Attempt, Completed: p.Completed, Size: p.Size, Location: p.Manifest,
			Millis: float64(p.Completed.Sub(p.Triggered).Microseconds()) / 1000, PausedMillis: float64(p.Paused) / 1e6,
		})
	}
	return v
}

func viewRequests(list []Request) []api.Request {
	var rows []api.Request
	for _, r := range list {
		row := api.Request{
			Request: r.Request, State: string(r.Stage), Asked: r.Asked, Failure: r.Failure, Checkpoint: r.Checkpoint,
			Savepoint: r.Savepoint, Size: r.Size, Notes: r.Notes,
		}
		if r.Stage.Ended() {
			ended := r.Ended
			row.Ended = &ended
		}
		if r.Stage == Done && !r.Stopped.IsZero() {
			row.DowntimeMillis = float64(r.Ended.Sub(r.Stopped).Microseconds()) / 1000
		}
		rows = append(rows, row)
	}
	return rows
}

func (e *Execution) viewVertex(vertex int) api.Vertex {
	g := &e.graph.Vertices[vertex]
	v := api.Vertex{Name: g.Name, Parallelism: g.Parallelism}
	for _, op := range g.Operators {
		v.Operators = append(v.Operators, api.Operator{Name: op.Name, Kind: op.Kind})
	}
	for index := range g.Parallelism {
		id := job.Subtask{Vertex: vertex, Index: index}
		row := api.Subtask{Index: index, Attempt: max(e.committed.Attempt, 1), State: job.Created}
		if s := e.find(id); s != nil && e.committed.Attempt > 0 {
			row.State, row.PID = e.shown(s.state), s.pid
			if p := e.partOf(id); p != nil {
				row.Attempt = p.Attempt
				if e.committed.Phase == Running && e.givenUp(p) {
					row.State, row.PID = job.Restarting, 0
				}
			}
			if index < len(e.committed.Assignment) { // else it is of a plan that no attempt has run yet
				row.TaskManager = e.committed.Assignment[index]
			}
			v.RecordsIn += s.counters.In
			v.RecordsOut += s.counters.Out
			addTotals(&v, &s.counters)
			busy, blocked := s.shares()
			v.Busy += busy / float64(g.Parallelism)
			v.Blocked += blocked / float64(g.Parallelism)
		}
		v.Subtasks = append(v.Subtasks, row)
	}
	return v
}

// addTotals adds what one subtask has done since the attempt began.
func addTotals(v *api.Vertex, c *job.Counters) {
	v.BusySeconds += float64(c.BusyNanos) / 1e9
	v.BlockedSeconds += float64(c.BlockedNanos) / 1e9
	v.IdleSeconds += float64(c.IdleNanos) / 1e9
	for i := range v.Operators {
		op := &v.Operators[i]
		n := c.Operators[op.Name]
		op.RecordsIn += n.In
		op.RecordsOut += n.Out
		op.Skipped += n.Skipped
		op.Metrics = job.AddMetrics(op.Metrics, n.Metrics)
	}
}

// boundMetrics leaves away what the task processes of a job have too many of together: each has seen to it for itself.
func boundMetrics(vertices []api.Vertex) {
	room := job.MostMetrics
	for v := range vertices {
		for i := range vertices[v].Operators {
			op := &vertices[v].Operators[i]
			op.Metrics = op.Metrics[:min(room, len(op.Metrics))]
			room -= len(op.Metrics)
		}
	}
}

// shown is the state of a subtask in a job that may have ended since it was heard of.
func (e *Execution) shown(s job.State) job.State {
	switch {
	case s.Terminal():
		return s
	case e.committed.Phase == Finished || e.committed.Phase == Publishing:
		return job.Finished
	case e.committed.Phase.Terminal():
		return job.Canceled
	case e.committed.Phase == Created:
		return job.Created
	}
	return s
}

// shares are the parts of the time between the last two Progress messages that the subtask
// worked, and waited for a consumer.
func (s *subtask) shares() (busy, blocked float64) {
	b := s.counters.BusyNanos - s.before.BusyNanos
	w := s.counters.BlockedNanos - s.before.BlockedNanos
	total := b + w + s.counters.IdleNanos - s.before.IdleNanos
	if total == 0 || s.state.Terminal() {
		return 0, 0
	}
	return float64(b) / float64(total), float64(w) / float64(total)
}
