package execution

import (
	"fmt"
	"strings"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
)

// The words of transcripts about requests, savepoints and changes.

// vertex parses name=parallelism, and :kind if its operator of the same name keeps such a state.
func (p *player) vertex(text string) job.Vertex {
	name, value, _ := strings.Cut(text, "=")
	n, kind, stateful := strings.Cut(value, ":")
	v := job.Vertex{Name: name, Parallelism: p.number(n)}
	if stateful {
		v.Operators = []job.Operator{{Name: name, States: []job.StateType{{Name: "state", Kind: job.StateKind(kind)}}}}
	}
	return v
}

func (p *player) graph(vertices []string) *job.Graph {
	g := &job.Graph{Name: "test", MaxParallelism: 128, Bounded: true}
	for _, v := range vertices {
		g.Vertices = append(g.Vertices, p.vertex(v))
	}
	connect(g)
	return g
}

// connect makes one region of all of g.
func connect(g *job.Graph) {
	for v := range g.Vertices {
		g.Edges = append(g.Edges, job.Edge{To: v, Partitioning: job.Hash})
	}
}

// successor is the execution of the next leader, which knows what is committed.
func successor(e *Execution) *Execution {
	in := e.Intent()
	stored := map[string]*job.Graph{"": nil}
	for _, g := range []*job.Graph{e.graph, e.next} {
		if g != nil {
			stored[g.Hash()] = g
		}
	}
	return New(in, stored[in.GraphHash], stored[in.NextGraph()])
}

func (p *player) requestEvent(verb string, f []string) Event {
	switch verb {
	case "ask": // id, kind, and of a rescale the parallelism
		r := job.Request{ID: job.ID(f[0]), Kind: job.RequestKind(f[1])}
		switch f[1] {
		case "drain":
			r.Kind, r.Drain = job.StopJob, true
		case "rescale":
			r.Kind, r.Change = job.ChangeJob, &job.Change{Parallelism: p.number(f[2])}
		case "upgrade":
			r.Kind, r.Change = job.ChangeJob, &job.Change{Artifact: f[2]}
		}
		return RequestReceived{Request: r}
	case "change-planned":
		return Planned{Request: job.ID(f[0]), Graph: p.graph(f[1:])}
	case "change-failed":
		return Planned{Request: job.ID(f[0]), Error: strings.Join(f[1:], " ")}
	case "slots":
		return SlotsChecked{Request: job.ID(f[0]), Missing: p.number(f[1])}
	case "copied":
		return Copied{Request: job.ID(f[0]), Location: f[1], Size: 20}
	case "copy-failed":
		return Copied{Request: job.ID(f[0]), Error: strings.Join(f[1:], " ")}
	case "opened": // checkpoint, attempt=N, vertices
		source := checkpoint.SourceOf(p.graph(f[2:]))
		source.What = "the savepoint"
		return SavepointOpened{Pointer: job.Pointer{Checkpoint: job.CheckpointID(p.number(f[0])), Attempt: p.attempt(f[1]), Savepoint: "/saved"}, Source: source}
	case "unopened":
		return SavepointOpened{Error: strings.Join(f, " ")}
	}
	return nil
}

func describeRequestAction(a Action) string {
	switch a := a.(type) {
	case Plan:
		return strings.TrimSpace(fmt.Sprintf("plan %s", a.Request))
	case CheckSlots:
		return fmt.Sprintf("check %d slots for %s", a.Slots, a.Request)
	case Copy:
		return fmt.Sprintf("copy checkpoint %d for %s", a.Pointer.Checkpoint, a.Request)
	case Drain:
		return fmt.Sprintf("drain %s", a.Part)
	case OpenSavepoint:
		return "open savepoint " + a.Location
	case Note:
		return "note " + strings.Join(a.Lines, "; ")
	}
	return ""
}

func describeRequests(in Intent) string {
	s := ""
	for _, r := range in.Requests.Requests {
		s += fmt.Sprintf(" %s=%s", r.ID, r.Stage)
		switch {
		case r.Savepoint != "":
			s += ":" + r.Savepoint
		case r.Failure != "":
			s += fmt.Sprintf("(%s)", strings.ReplaceAll(r.Failure, "\n", " | "))
		case r.Checkpoint != 0:
			s += fmt.Sprintf(":%d", r.Checkpoint)
		}
	}
	if in.Changed != nil {
		s += strings.TrimRight(fmt.Sprintf(" changed: parallelism %d %s", in.Changed.Parallelism, in.Changed.Artifact), " ")
	}
	return s
}
