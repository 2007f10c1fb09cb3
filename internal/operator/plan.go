package operator

import (
	"cmp"
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// Plan is a job ready to run: the graph as it is compared and shown, and for each vertex and
// edge what it takes to make one. It is made once and then only read.
type Plan struct {
	Graph *job.Graph
	Heads []*Node // one for each of Graph.Vertices
	Edges []Edge  // one for each of Graph.Edges
	Args  map[string]string
	Keep  state.Opener // where keyed state is kept; nil: in memory
}

// Edge makes the two ends of an edge of the graph.
type Edge struct {
	Carrier Carrier
	// Partition returns a shuffle.Partitioner of the carrier's type, for one producer.
	Partition func() any
	// Consumer is the operator at whose door an error of the partitioner, which calls its key
	// function, is laid.
	Consumer string
	// Immediate: each record is sent alone, to whoever has time for it.
	Immediate bool
}

// Node is one operator, and those that are fused behind it.
type Node struct {
	Name string
	Out  Carrier // of what it emits; nil for a sink
	// States are those that it keeps: what its steps and drivers name in their snapshots.
	States []job.StateType

	// Chain makes the operator's step, a Receiver of what it takes, in front of out, a Receiver
	// of what it emits (nil for a sink). User code that opens something runs here.
	Chain func(w *Wiring, out any) (in any, err error)
	// Join makes the steps of an operator of several inputs, one Receiver for each, instead of
	// Chain. Watermarks, barriers and the end go to the first.
	Join func(w *Wiring, out any) (ins []any, err error)
	// Read makes the driver of an operator that reads from outside, instead of Chain. Gate is
	// the input of a source that is given splits, and nil for one that is not.
	Read func(w *Wiring, gate, out any) (Driver, error)

	// Survives says what does not fail the job when it makes the operator's functions fail; all else does. The
	// steps ask for it by SurvivorOf.
	Survives []Survival

	Next  []*Node // the operators fused behind it
	Edges []int   // the edges by which its records leave the vertex, in Plan.Edges
}

// Input is an input of a vertex: its gate, a *shuffle.Gate of the carrier's type.
type Input struct {
	Carrier  Carrier
	Gate     any
	Channels int
}

// Wire makes the chain of the vertex whose head n is, from its ends to its beginning, and
// returns the driver that moves it. Outlet makes the Receiver by which records leave on an edge.
func (n *Node) Wire(w *Wiring, inputs []Input, outlet func(edge int) (any, error)) (Driver, error) {
	out, err := n.out(w, outlet)
	if err != nil {
		return nil, err
	}
	w.Enter(n.Name)
	if n.Read != nil {
		var gate any
		if len(inputs) > 0 {
			gate = inputs[0].Gate
		}
		d, err := n.Read(w, gate, out)
		return d, cmp.Or(err, w.Refused())
	}
	steps, err := n.steps(w, out)
	if err := cmp.Or(err, w.Refused()); err != nil {
		return nil, err
	}
	channels := 0
	ports := make([]Port, len(inputs))
	for i, in := range inputs {
		ports[i] = in.Carrier.Port(in.Gate, steps[i], channels)
		channels += in.Channels
	}
	return newGateDriver(w, ports, channels), nil
}

// steps makes the Receiver of each input.
func (n *Node) steps(w *Wiring, out any) ([]any, error) {
	if n.Join != nil {
		return n.Join(w, out)
	}
	step, err := n.Chain(w, out)
	return []any{step}, err
}

// out returns the Receiver of what n emits; nil for a sink.
func (n *Node) out(w *Wiring, outlet func(edge int) (any, error)) (any, error) {
	if err := w.survive(n, outlet); err != nil {
		return nil, err
	}
	if n.Out == nil {
		return nil, nil
	}
	outs := make([]any, 0, len(n.Next)+len(n.Edges))
	for _, next := range n.Next {
		out, err := next.out(w, outlet)
		if err != nil {
			return nil, err
		}
		w.Enter(next.Name)
		in, err := next.Chain(w, out)
		if err := cmp.Or(err, w.Refused()); err != nil {
			return nil, err
		}
		outs = append(outs, in)
	}
	for _, e := range n.Edges {
		w.Enter(n.Name)
		out, err := outlet(e)
		if err != nil {
			return nil, err
		}
		outs = append(outs, out)
	}
	if len(outs) == 0 {
		return nil, fmt.Errorf("operator %q emits records that nothing takes", n.Name)
	}
	return n.Out.Counted(n.Out.Tee(outs), &w.count(n.Name).out), nil
}
