package stream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// plan makes of what was built the plan that runs: it decides what is fused and turns the other
// connections into edges. parallelism is that of operators that do not say; 0: the job's, or 1.
//
// An operator is fused to its input's when that is its only one, both are equally parallel and
// nothing is to be redistributed between them. So a vertex is a tree of operators.
func (e *Env) plan(parallelism int) (*operator.Plan, error) {
	if err := e.problems(); err != nil {
		return nil, err
	}
	e.resolve(parallelism)
	g := &job.Graph{Name: e.name, MaxParallelism: e.groups(), Bounded: true}
	p := &planner{plan: &operator.Plan{Graph: g, Args: e.args.values(), Keep: e.keep}, vertexOf: map[*node]int{}}
	for _, n := range e.nodes {
		g.Bounded = g.Bounded && n.bounded
		p.place(n)
	}
	for _, n := range e.nodes {
		if len(n.inputs) > 0 && !n.fused() {
			p.connect(n)
		}
	}
	p.name()
	return p.plan, errors.Join(append(p.errs, g.Validate())...)
}

// resolve sets the parallelism of each node, and the partitioning that follows from it.
func (e *Env) resolve(parallelism int) {
	for _, p := range []int{e.parallelism, 1} {
		if parallelism == 0 {
			parallelism = p
		}
	}
	for _, n := range e.nodes {
		if n.parallelism == 0 {
			n.parallelism = parallelism
		}
	}
	for _, n := range e.nodes {
		for i, in := range n.inputs {
			if in.partitioning == job.Forward && in.from.parallelism != n.parallelism {
				n.inputs[i].partitioning = job.Rebalance
			}
		}
	}
}

// fused reports whether n runs in the chain of its input.
func (n *node) fused() bool {
	return len(n.inputs) == 1 && n.inputs[0].partitioning == job.Forward && n.Read == nil && n.Join == nil
}

type planner struct {
	plan     *operator.Plan
	vertexOf map[*node]int
	errs     []error
}

// place puts n into its vertex, a new one unless it is fused. Inputs were placed before.
func (p *planner) place(n *node) {
	op := job.Operator{Name: n.Name, Kind: n.kind, States: n.States}
	if p.plan.Keep != nil && slices.ContainsFunc(n.States, func(s job.StateType) bool { return s.Kind.Keyed() && s.Kind != job.TimersState }) {
		op.States = append(slices.Clone(n.States), job.StateType{Kind: job.StoreState})
	}
	if n.Out != nil {
		op.Out = n.Out.Schema()
	}
	v := len(p.plan.Heads)
	if n.fused() {
		from := n.inputs[0].from
		if n.kind != kindDeadLetters { // those are in Survives
			from.Next = append(from.Next, &n.Node)
		}
		v = p.vertexOf[from]
	} else {
		p.plan.Heads = append(p.plan.Heads, &n.Node)
		p.plan.Graph.Vertices = append(p.plan.Graph.Vertices, job.Vertex{Parallelism: n.parallelism})
	}
	p.vertexOf[n] = v
	vertex := &p.plan.Graph.Vertices[v]
	vertex.Operators = append(vertex.Operators, op)
}

// connect makes an edge of each input of n.
func (p *planner) connect(n *node) {
	for _, in := range n.inputs {
		carrier := in.from.Out
		if err := carrier.Err(); err != nil {
			p.errs = append(p.errs, fmt.Errorf("operator %q: its records come from another subtask and cannot be encoded: %w", n.Name, err))
			return
		}
		in.from.Edges = append(in.from.Edges, len(p.plan.Edges))
		p.plan.Edges = append(p.plan.Edges, operator.Edge{
			Carrier: carrier, Partition: in.partitioner(carrier), Consumer: n.Name, Immediate: in.from.kind == kindSplits,
		})
		p.plan.Graph.Edges = append(p.plan.Graph.Edges, job.Edge{
			From: p.vertexOf[in.from], FromOperator: in.from.Name, To: p.vertexOf[n], Input: in.port,
			Partitioning: in.partitioning, Schema: carrier.Schema(),
		})
	}
}

func (in input) partitioner(c operator.Carrier) func() any {
	switch in.partitioning {
	case job.Hash:
		return in.partition
	case job.Rebalance:
		return c.Rebalance
	case job.Broadcast:
		return c.Broadcast
	}
	return c.Forward
}

// name names each vertex after its operators.
func (p *planner) name() {
	for v := range p.plan.Graph.Vertices {
		vertex := &p.plan.Graph.Vertices[v]
		names := make([]string, len(vertex.Operators))
		for i, op := range vertex.Operators {
			names[i] = op.Name
		}
		vertex.Name = strings.Join(names, " -> ")
	}
}
