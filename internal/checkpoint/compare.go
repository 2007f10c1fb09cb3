package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// Kept is a state that there is, as one side of a comparison.
type Kept struct {
	Operator string
	job.StateType
}

// Source is what a job is to continue from: a savepoint, or itself as it runs.
type Source struct {
	What   string // for a person: "savepoint /x/y", "the running job"
	Graph  *job.Graph
	States []Kept // by operator and name
	// Outputs says that hidden outputs go with it, which its sinks are to name again.
	Outputs bool
}

// SourceOf is what a job that runs by this plan keeps.
func SourceOf(g *job.Graph) Source {
	return Source{What: "the running job", Graph: g, States: declared(g), Outputs: g.Bounded}
}

// Source is what the savepoint holds.
func (s *Savepoint) Source(location string) Source {
	seen := map[Kept]bool{}
	for _, ack := range s.Subtasks {
		for _, h := range ack.States {
			if h.Kind == job.StoreState { // of all states of the operator; each is named by a piece of its own too
				seen[Kept{h.Operator, job.StateType{Kind: h.Kind}}] = true
				continue
			}
			seen[Kept{h.Operator, job.StateType{Name: h.State, Kind: h.Kind, Schema: h.Schema}}] = true
		}
	}
	source := Source{What: "savepoint " + location, Graph: s.Graph}
	for k := range seen {
		source.States = append(source.States, k)
	}
	order(source.States)
	return source
}

func declared(g *job.Graph) []Kept {
	var states []Kept
	for _, v := range g.Vertices {
		for _, op := range v.Operators {
			for _, s := range op.States {
				states = append(states, Kept{op.Name, s})
			}
		}
	}
	order(states)
	return states
}

func order(states []Kept) {
	slices.SortFunc(states, func(a, b Kept) int {
		return cmp.Or(cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Schema, b.Schema))
	})
}

// Difference is how a job differs from what it continues from, where that is no obstacle.
type Difference struct {
	Fresh   []string // states that begin empty
	Dropped []string // states that nothing takes, which was allowed
}

// Compare says whether a job of this plan can continue from what there is. The error names each
// obstacle, a line each: operator, state, what differs, and what to do.
func Compare(from Source, plan *job.Graph, allowDropped bool) (Difference, error) {
	c := comparison{from: from, plan: plan, operators: operators(plan)}
	if from.Graph.MaxParallelism != plan.MaxParallelism {
		return c.Difference, fmt.Errorf("%s has %d key groups, and the job %d: set it to %d by Env.SetMaxParallelism, as it never changes while there is state",
			from.What, from.Graph.MaxParallelism, plan.MaxParallelism, from.Graph.MaxParallelism)
	}
	if err := c.strangers(allowDropped); err != nil {
		return c.Difference, err
	}
	for _, k := range from.States {
		c.compare(k, allowDropped)
	}
	if from.Outputs {
		c.sinks()
	}
	for _, k := range declared(plan) {
		if k.Kind != job.StoreState && !slices.ContainsFunc(from.States, func(f Kept) bool { return f.Operator == k.Operator && f.Name == k.Name }) {
			c.Fresh = append(c.Fresh, fmt.Sprintf("state %q of operator %q", k.Name, k.Operator))
		}
	}
	return c.Difference, errors.Join(c.obstacles...)
}

type comparison struct {
	Difference
	from      Source
	plan      *job.Graph
	operators map[string]placed // of plan
	obstacles []error
}

// placed is an operator and how parallel it is.
type placed struct {
	job.Operator
	parallelism int
}

func operators(g *job.Graph) map[string]placed {
	all := map[string]placed{}
	for _, v := range g.Vertices {
		for _, op := range v.Operators {
			all[op.Name] = placed{op, v.Parallelism}
		}
	}
	return all
}

// strangers refuses a job none of whose operators is among those that have state: it is another one.
func (c *comparison) strangers(allowDropped bool) error {
	there := names(c.from.States)
	if allowDropped || len(there) == 0 || slices.ContainsFunc(there, func(op string) bool { _, ok := c.operators[op]; return ok }) {
		return nil
	}
	return fmt.Errorf("no operator of %s matches: it has state of %s, and the job keeps state in %s. Is it another job's? To begin without any of it, allow dropped state (--allow-dropped-state)",
		c.from.What, list(there), list(names(declared(c.plan))))
}

func names(states []Kept) []string {
	var operators []string
	for _, k := range states {
		operators = append(operators, k.Operator)
	}
	return slices.Compact(operators)
}

func list(operators []string) string {
	if len(operators) == 0 {
		return "none"
	}
	return fmt.Sprintf("%q", operators)
}

// compare looks for who takes a state.
func (c *comparison) compare(k Kept, allowDropped bool) {
	op, there := c.operators[k.Operator]
	i := slices.IndexFunc(op.States, func(s job.StateType) bool { return s.Name == k.Name })
	switch {
	case i >= 0:
		c.takes(k, op, op.States[i])
	case k.Kind == job.StoreState:
		if slices.ContainsFunc(op.States, func(s job.StateType) bool { return s.Kind.Keyed() }) {
			c.obstacles = append(c.obstacles, fmt.Errorf("operator %q: its state is in a store on disk there, and the job keeps its state in memory: give it that store again (Env.KeepState)", k.Operator))
		}
	case allowDropped:
		c.Dropped = append(c.Dropped, fmt.Sprintf("state %q of operator %q", k.Name, k.Operator))
	case there:
		c.refuse(k, "the operator does not keep it any more: keep it, or allow dropped state (--allow-dropped-state)")
	default:
		c.refuse(k, "the job has no such operator: name it as it was%s, or allow dropped state (--allow-dropped-state)", c.renamed())
	}
}

// renamed hints at operators that the source does not know.
func (c *comparison) renamed() string {
	known := operators(c.from.Graph)
	fresh := slices.DeleteFunc(names(declared(c.plan)), func(op string) bool { _, ok := known[op]; return ok })
	if len(fresh) == 0 {
		return ""
	}
	return fmt.Sprintf(" (new are %s)", strings.Join(fresh, ", "))
}

// takes compares a state with what is wanted.
func (c *comparison) takes(k Kept, op placed, wanted job.StateType) {
	before := operators(c.from.Graph)[k.Operator].parallelism
	compatible := record.Compatible
	if k.Kind.Keyed() {
		compatible = record.CompatibleEntry
	}
	switch {
	case k.Kind != wanted.Kind:
		c.refuse(k, "it is a %s state there and a %s state in the job: give it another name", k.Kind, wanted.Kind)
	case k.Kind == job.PositionState && before != op.parallelism:
		c.refuse(k, "its %d subtasks each have a position of their own, which %d cannot share out: leave this operator's parallelism at %d",
			before, op.parallelism, before)
	default:
		if err := compatible(k.Schema, wanted.Schema); err != nil {
			c.refuse(k, "%w", err)
		}
	}
}

// sinks demands that hidden outputs find the sink that wrote them.
func (c *comparison) sinks() {
	for _, v := range c.from.Graph.Vertices {
		for _, op := range v.Operators {
			if is, there := c.operators[op.Name]; op.Kind == "sink" && (!there || is.Kind != "sink") {
				c.obstacles = append(c.obstacles, fmt.Errorf("sink %q is not in the job any more, and what it wrote so far would never become visible: keep it under this name", op.Name))
			}
		}
	}
}

func (c *comparison) refuse(k Kept, format string, args ...any) {
	c.obstacles = append(c.obstacles, fmt.Errorf("operator %q, state %q: "+format, append([]any{k.Operator, k.Name}, args...)...))
}
