package job

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Partitioning tells which consumer subtask receives a record of an edge.
type Partitioning string

// The partitionings of an edge.
const (
	Forward   Partitioning = "forward"   // subtask i to subtask i; both ends of one parallelism
	Hash      Partitioning = "hash"      // by key group
	Rebalance Partitioning = "rebalance" // to whoever has room, in turn
	Broadcast Partitioning = "broadcast" // to every subtask
)

// Operator is one user-visible step of a vertex; fused operators share a vertex.
type Operator struct {
	Name string `json:"name"`
	Kind string `json:"kind"`          // the verb: source, splits, map, filter, flatmap, reduce, aggregate, sink …
	Out  string `json:"out,omitempty"` // schema of what it emits, "" for a sink
	// States are those that it keeps in checkpoints.
	States []StateType `json:"states,omitempty"`
}

// Vertex is a chain (or tree) of fused operators that runs as Parallelism subtasks.
type Vertex struct {
	Name        string     `json:"name"` // operator names joined by " -> "
	Operators   []Operator `json:"operators"`
	Parallelism int        `json:"parallelism"`
}

// Edge carries records from one vertex to another, by index in Graph.Vertices.
type Edge struct {
	From         int          `json:"from"`
	FromOperator string       `json:"fromOperator"`
	To           int          `json:"to"`
	Input        int          `json:"input"` // which input of To's head operator
	Partitioning Partitioning `json:"partitioning"`
	Schema       string       `json:"schema"` // of the records that travel
}

// Graph is a job's plan as it is shipped, compared and shown. It holds no code,
// no address and nothing of the machine that made it.
type Graph struct {
	Name           string   `json:"name"`
	Vertices       []Vertex `json:"vertices"`
	Edges          []Edge   `json:"edges"`
	MaxParallelism int      `json:"maxParallelism"` // number of key groups
	Bounded        bool     `json:"bounded"`        // every source ends
}

// Hash is the SHA-256 of the graph's canonical JSON, in hex: two processes that
// compute the same hash run the same plan.
func (g *Graph) Hash() string {
	b, err := json.Marshal(g)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Slots is the number of slots that a job of this graph needs: a slot takes
// subtask i of every vertex that has one.
func (g *Graph) Slots() int {
	n := 0
	for _, v := range g.Vertices {
		n = max(n, v.Parallelism)
	}
	return n
}

// SlotSubtasks lists what runs in slot i: subtask i of each vertex that has one.
func (g *Graph) SlotSubtasks(slot int) []Subtask {
	var s []Subtask
	for v := range g.Vertices {
		if slot < g.Vertices[v].Parallelism {
			s = append(s, Subtask{Vertex: v, Index: slot})
		}
	}
	return s
}

// Validate reports what makes g impossible to run.
func (g *Graph) Validate() error {
	if len(g.Vertices) == 0 {
		return fmt.Errorf("job %q has no operators", g.Name)
	}
	for _, v := range g.Vertices {
		if v.Parallelism < 1 || v.Parallelism > g.MaxParallelism {
			return fmt.Errorf("operator %q has parallelism %d; expected 1 to %d, the number of key groups (Env.SetMaxParallelism)", v.Name, v.Parallelism, g.MaxParallelism)
		}
	}
	for _, e := range g.Edges {
		if e.From < 0 || e.From >= len(g.Vertices) || e.To < 0 || e.To >= len(g.Vertices) {
			return fmt.Errorf("edge %d -> %d names a vertex that is not there", e.From, e.To)
		}
	}
	return nil
}
