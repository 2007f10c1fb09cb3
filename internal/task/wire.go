package task

import (
	"context"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// newSubtask makes a subtask and its gate. No user code runs yet: that is for the subtask's own
// goroutine, which wires the chain once every gate is there.
func (x *Execution) newSubtask(ctx context.Context, id job.Subtask) *subtask {
	vertex := x.plan.Graph.Vertices[id.Vertex]
	ctx, cancel := context.WithCancelCause(ctx)
	s := &subtask{x: x, id: id, head: x.plan.Heads[id.Vertex], ctx: ctx, cancel: cancel, tenure: tenure{Lease: x.cfg.Lease}}
	s.wiring = operator.NewWiring(ctx, operator.ContextConfig{
		Job: x.cfg.Job, Attempt: x.cfg.Attempt, Subtask: id.Index, Parallelism: vertex.Parallelism,
		Args: x.plan.Args, Dir: x.cfg.Dir, Logger: x.cfg.Logger, Metrics: &x.metrics,
	})
	s.wiring.KeepIn(x.plan.Keep, x.cfg.Scratch)
	s.wiring.Between(func() error { _, err := s.heed(time.Now()); return err })
	x.newGates(s)
	if x.cfg.Checkpoints != nil {
		s.wiring.OnCheckpoint(func(p operator.Prepared) { s.uploads.begin(s, p, false) })
	}
	return s
}

// newGates makes a gate for each input of s's vertex, and binds the channels that come from other
// processes. The channels of a gate are those of the input's first edge, by producer, then the next.
func (x *Execution) newGates(s *subtask) {
	for e, edge := range x.plan.Graph.Edges {
		if edge.To != s.id.Vertex {
			continue
		}
		i := edge.Input
		for len(s.inputs) <= i {
			s.inputs = append(s.inputs, operator.Input{})
		}
		s.inputs[i].Carrier = x.plan.Edges[e].Carrier
		s.inputs[i].Channels += len(x.producers(e, s.id.Index))
	}
	for i := range s.inputs {
		in := &s.inputs[i]
		in.Gate = in.Carrier.Gate(in.Channels)
		x.gates[input{s.id, i}] = in.Gate
	}
	for e, edge := range x.plan.Graph.Edges {
		if edge.To != s.id.Vertex {
			continue
		}
		in := s.inputs[edge.Input]
		for _, from := range x.producers(e, s.id.Index) {
			if !x.isHere(from) {
				in.Carrier.Bind(x.cfg.Exchange, x.channel(e, from, s.id.Index), in.Gate, x.gateChannel(e, from, s.id.Index))
			}
		}
	}
}

// input names one input of a subtask.
type input struct {
	job.Subtask
	index int
}

// producers lists the subtasks that send to subtask to of edge e's consumer.
func (x *Execution) producers(e, to int) []int {
	edge := x.plan.Graph.Edges[e]
	if edge.Partitioning == job.Forward {
		return []int{to}
	}
	return indexes(x.plan.Graph.Vertices[edge.From].Parallelism)
}

// consumers lists the subtasks to which subtask from of edge e's producer sends.
func (x *Execution) consumers(e, from int) []int {
	edge := x.plan.Graph.Edges[e]
	if edge.Partitioning == job.Forward {
		return []int{from}
	}
	return indexes(x.plan.Graph.Vertices[edge.To].Parallelism)
}

func indexes(n int) []int {
	is := make([]int, n)
	for i := range is {
		is[i] = i
	}
	return is
}

// gateChannel is the number, in the gate of edge e's input in subtask to of its consumer, of the channel
// from the producer's subtask from.
func (x *Execution) gateChannel(e, from, to int) int {
	n := 0
	for before := range e {
		if x.plan.Graph.Edges[before].To == x.plan.Graph.Edges[e].To && x.plan.Graph.Edges[before].Input == x.plan.Graph.Edges[e].Input {
			n += len(x.producers(before, to))
		}
	}
	if x.plan.Graph.Edges[e].Partitioning == job.Forward {
		return n
	}
	return n + from
}

func (x *Execution) channel(e, from, to int) shuffle.Channel {
	return shuffle.Channel{Job: x.cfg.Job, Edge: e, From: from, To: to, Attempt: x.cfg.Attempt}
}

// outlet makes the Receiver by which records of s leave on edge e.
func (x *Execution) outlet(s *subtask, e int) (any, error) {
	edge := x.plan.Edges[e]
	var outs []any
	for _, to := range x.consumers(e, s.id.Index) {
		if gate, here := x.gates[input{job.Subtask{Vertex: x.plan.Graph.Edges[e].To, Index: to}, x.plan.Graph.Edges[e].Input}]; here {
			outs = append(outs, edge.Carrier.Local(gate, x.gateChannel(e, s.id.Index, to)))
			continue
		}
		out, err := edge.Carrier.Remote(x.cfg.Exchange, x.channel(e, s.id.Index, to), x.cfg.Peers[to])
		if err != nil {
			return nil, err
		}
		outs = append(outs, out)
	}
	return edge.Carrier.Writer(s.wiring, edge, outs, shuffle.WriterConfig{Context: s.ctx}), nil
}
