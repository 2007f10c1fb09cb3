package stream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/internal/job"
)

// show writes a graph for the eye: each vertex with its parallelism, each edge.
func show(g *job.Graph) string {
	var b strings.Builder
	for i, v := range g.Vertices {
		fmt.Fprintf(&b, "%d: %s x%d\n", i, v.Name, v.Parallelism)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "%d (%s) %s %d.%d\n", e.From, e.FromOperator, e.Partitioning, e.To, e.Input)
	}
	return b.String()
}

// TestPlan shows what is fused and what becomes an edge.
func TestPlan(t *testing.T) {
	same := func(n int) int { return n }
	odd := func(n int) bool { return n%2 == 1 }
	in := func(env *Env) Stream[int] { return From(env, "in", slice.Of(1)) }
	out := func(s Stream[int], name string, o ...Option) { To(s, name, discard.All[int](), o...) }
	tests := []struct {
		name  string
		build func(*Env)
		want  string
	}{
		{"a chain is one vertex", func(env *Env) { out(Filter(Map(in(env), "map", same), "odd", odd), "out") }, `
0: in splits x1
1: in -> map -> odd -> out x2
0 (in splits) rebalance 1.0
`},
		{"a tree is one vertex", func(env *Env) {
			m := Map(in(env), "map", same)
			out(Filter(m, "odd", odd), "out 1")
			out(m, "out 2")
		}, `
0: in splits x1
1: in -> map -> odd -> out 1 -> out 2 x2
0 (in splits) rebalance 1.0
`},
		{"dead letters are fused to where they come from", func(env *Env) {
			var dead Stream[DeadLetter[int]]
			out(Map(in(env), "map", same, DeadLetters(&dead)), "out")
			To(dead, "dead", discard.All[DeadLetter[int]]())
		}, `
0: in splits x1
1: in -> map -> map dead letters -> out -> dead x2
0 (in splits) rebalance 1.0
`},
		{"dead letters to another parallelism are an edge", func(env *Env) {
			var dead Stream[DeadLetter[int]]
			out(Map(in(env), "map", same, Parallelism(3), DeadLetters(&dead)), "out", Parallelism(3))
			To(dead, "dead", discard.All[DeadLetter[int]](), Parallelism(1))
		}, `
0: in splits x1
1: in x2
2: map -> map dead letters -> out x3
3: dead x1
0 (in splits) rebalance 1.0
1 (in) rebalance 2.0
2 (map dead letters) rebalance 3.0
`},
		{"another parallelism is an edge", func(env *Env) { out(Map(in(env), "map", same), "out", Parallelism(1)) }, `
0: in splits x1
1: in -> map x2
2: out x1
0 (in splits) rebalance 1.0
1 (map) rebalance 2.0
`},
		{"keys, rebalance and broadcast are edges", func(env *Env) {
			sum := Reduce(KeyBy(in(env), same), "sum", func(a, b int) int { return a + b })
			out(Rebalance(sum), "out 1")
			out(Broadcast(sum), "out 2")
		}, `
0: in splits x1
1: in x2
2: sum x2
3: out 1 x2
4: out 2 x2
0 (in splits) rebalance 1.0
1 (in) hash 2.0
2 (sum) rebalance 3.0
2 (sum) broadcast 4.0
`},
		{"a union has an edge from each", func(env *Env) {
			a := in(env)
			b := From(env, "in 2", slice.Of(1), Parallelism(1))
			out(Map(Union(a, b, Map(a, "map", same)), "all", same), "out")
		}, `
0: in splits x1
1: in -> map x2
2: in 2 splits x1
3: in 2 x1
4: all -> out x2
0 (in splits) rebalance 1.0
2 (in 2 splits) rebalance 3.0
1 (in) forward 4.0
3 (in 2) rebalance 4.0
1 (map) forward 4.0
`},
		{"a function source has no splits", func(env *Env) {
			out(FromFunc(env, "f", func(*Context, func(int)) error { return nil }), "out", Parallelism(1))
		}, `
0: f -> out x1
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := definition{"job", test.build}
			plan, err := d.plan(job.Spec{Parallelism: 2})
			if err != nil {
				t.Fatal(err)
			}
			if got := show(plan.Graph); got != strings.TrimPrefix(test.want, "\n") {
				t.Errorf("got:\n%s\nwant:%s", got, test.want)
			}
			again, err := d.plan(job.Spec{Parallelism: 2})
			if err != nil || again.Graph.Hash() != plan.Graph.Hash() {
				t.Errorf("planned again, the graph is another one (error %v)", err)
			}
		})
	}
}

func TestParallelismPrecedence(t *testing.T) {
	build := func(jobSays int) func(*Env) {
		return func(env *Env) {
			if jobSays > 0 {
				env.SetParallelism(jobSays)
			}
			To(From(env, "in", slice.Of(1)), "out", discard.All[int]())
		}
	}
	tests := []struct {
		spec    int
		flag    string
		jobSays int
		want    int
	}{
		{0, "", 0, 1}, {0, "", 3, 3}, {0, "4", 3, 4}, {5, "4", 3, 5},
	}
	for _, test := range tests {
		spec := job.Spec{Parallelism: test.spec}
		if test.flag != "" {
			spec.Args = []string{"-p", test.flag}
		}
		plan, err := definition{"job", build(test.jobSays)}.plan(spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.Graph.Vertices[1].Parallelism; got != test.want {
			t.Errorf("%+v: got %d", test, got)
		}
	}
}

func TestBounded(t *testing.T) {
	for _, unbounded := range []bool{false, true} {
		plan, err := definition{"job", func(env *Env) {
			var o []Option
			if unbounded {
				o = append(o, Unbounded())
			}
			f := FromFunc(env, "f", func(*Context, func(int)) error { return nil }, o...)
			To(Union(f, From(env, "in", slice.Of(1))), "out", discard.All[int]())
		}}.plan(job.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		if plan.Graph.Bounded == unbounded {
			t.Errorf("unbounded %t: the graph says bounded %t", unbounded, plan.Graph.Bounded)
		}
	}
}
