package checkpoint

import (
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// graphOf makes a plan of vertices of one operator each: name, parallelism, and states as name:kind:schema.
func graphOf(operators ...[]string) *job.Graph {
	g := &job.Graph{Name: "test", MaxParallelism: 256, Bounded: true}
	for _, f := range operators {
		op := job.Operator{Name: f[0], Kind: "map"}
		if f[0] == "out" {
			op.Kind = "sink"
		}
		for _, s := range f[2:] {
			p := strings.SplitN(s, ":", 3)
			op.States = append(op.States, job.StateType{Name: p[0], Kind: job.StateKind(p[1]), Schema: p[2]})
		}
		g.Vertices = append(g.Vertices, job.Vertex{Name: f[0], Parallelism: int(f[1][0] - '0'), Operators: []job.Operator{op}})
	}
	return g
}

func TestCompare(t *testing.T) {
	const entry = "struct{Key string;Acc uint32}"
	splits := []string{"lines", "2", "splits:splits:string"}
	count := []string{"count", "2", "acc:value:" + entry}
	out := []string{"out", "2"}
	before := graphOf(splits, count, out)
	other := graphOf(splits, count, out)
	other.MaxParallelism = 128
	for _, c := range []struct {
		name    string
		plan    *job.Graph
		allowed bool
		fresh   string
		dropped string
		refusal []string // what it says; none: it is none
	}{
		{name: "the same", plan: before},
		{name: "another parallelism", plan: graphOf([]string{"lines", "4", splits[2]}, []string{"count", "1", count[2]}, out)},
		{name: "widened", plan: graphOf(splits, []string{"count", "2", "acc:value:struct{Key string;Acc uint64}"}, out)},
		{name: "narrowed", plan: graphOf(splits, []string{"count", "2", "acc:value:struct{Key string;Acc uint8}"}, out),
			refusal: []string{`operator "count", state "acc"`, "uint32", "uint8"}},
		{name: "another key", plan: graphOf(splits, []string{"count", "2", "acc:value:struct{Key uint64;Acc uint32}"}, out),
			refusal: []string{`operator "count", state "acc"`, "key"}},
		{name: "another kind", plan: graphOf(splits, []string{"count", "2", "acc:list:" + entry}, out),
			refusal: []string{`operator "count", state "acc"`, "value state", "list state"}},
		{name: "a new operator, and a new state of an old one",
			plan:  graphOf(splits, []string{"count", "2", count[2], "seen:map:string"}, []string{"more", "1", "s:list:string"}, out),
			fresh: `state "seen" of operator "count"; state "s" of operator "more"`},
		{name: "a state less", plan: graphOf(splits, []string{"count", "2"}, out),
			refusal: []string{`operator "count", state "acc"`, "does not keep it any more"}},
		{name: "an operator renamed", plan: graphOf(splits, []string{"tally", "2", count[2]}, out),
			refusal: []string{`operator "count", state "acc"`, "no such operator", "tally"}},
		{name: "the same, allowed", plan: graphOf(splits, []string{"tally", "2", count[2]}, out), allowed: true,
			fresh: `state "acc" of operator "tally"`, dropped: `state "acc" of operator "count"`},
		{name: "nothing matches", plan: graphOf([]string{"a", "2", splits[2]}, []string{"b", "2", count[2]}, out),
			refusal: []string{"no operator of savepoint /x matches", `["count" "lines"]`, `["a" "b"]`, "another job's"}},
		{name: "nothing matches, allowed", plan: graphOf([]string{"a", "2", splits[2]}, out), allowed: true,
			fresh: `state "splits" of operator "a"`, dropped: `state "acc" of operator "count"; state "splits" of operator "lines"`},
		{name: "other key groups", plan: other, refusal: []string{"256 key groups", "128", "Env.SetMaxParallelism"}},
		{name: "several obstacles", plan: graphOf([]string{"lines", "2", "splits:value:string"}, []string{"count", "2"}, out),
			refusal: []string{`state "splits"`, `state "acc"`}},
	} {
		from := SourceOf(before)
		from.What, from.Outputs = "savepoint /x", false
		d, err := Compare(from, c.plan, c.allowed)
		if (err != nil) != (len(c.refusal) > 0) {
			t.Errorf("%s: %v, want a refusal: %v", c.name, err, c.refusal)
			continue
		}
		for _, says := range c.refusal {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v; want it to say %q", c.name, err, says)
			}
		}
		if err == nil && (strings.Join(d.Fresh, "; ") != c.fresh || strings.Join(d.Dropped, "; ") != c.dropped) {
			t.Errorf("%s: fresh %q, dropped %q; want %q and %q", c.name, d.Fresh, d.Dropped, c.fresh, c.dropped)
		}
	}
}

// Positions that cannot be shared out stay where they are; hidden outputs need their sink.
func TestCompareWhatCannotMove(t *testing.T) {
	before := graphOf([]string{"func", "2", "splits:position:string"}, []string{"out", "2"})
	for name, c := range map[string]struct {
		plan *job.Graph
		says string
	}{
		"as it was":          {before, ""},
		"fewer readers":      {graphOf([]string{"func", "1", "splits:position:string"}, []string{"out", "1"}), "leave this operator's parallelism at 2"},
		"more readers":       {graphOf([]string{"func", "3", "splits:position:string"}, []string{"out", "2"}), "leave this operator's parallelism at 2"},
		"another sink":       {graphOf([]string{"func", "2", "splits:position:string"}, []string{"elsewhere", "2"}), `sink "out" is not in the job any more`},
		"a sink less spread": {graphOf([]string{"func", "2", "splits:position:string"}, []string{"out", "1"}), ""},
	} {
		_, err := Compare(SourceOf(before), c.plan, false)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	unbounded := graphOf([]string{"func", "2"}, []string{"out", "2"})
	unbounded.Bounded = false // what it put out is visible
	if _, err := Compare(SourceOf(unbounded), graphOf([]string{"func", "2"}, []string{"elsewhere", "2"}), false); err != nil {
		t.Error(err)
	}
}

func savepoint() *Savepoint {
	m := manifest()
	g := graphOf([]string{"a", "4"}, []string{"b", "4"}, []string{"c", "4"}, []string{"d", "4"})
	return NewSavepoint(m, g, func(file string) string { return strings.ReplaceAll(file, "/", "-") })
}

func TestSavepointRoundTrip(t *testing.T) {
	s := savepoint()
	b := s.Encode()
	got, err := DecodeSavepoint(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.JobName != "test" || got.Graph.Hash() != s.Graph.Hash() || got.Size() != s.Size() || len(got.Outputs()) != 0 || !slices.Equal(got.Encode(), b) {
		t.Errorf("got %+v", got)
	}
	for i := range b {
		damaged := slices.Clone(b)
		damaged[i] ^= 1
		if _, err := DecodeSavepoint(damaged); err == nil {
			t.Fatalf("a flipped bit of byte %d was not noticed", i)
		}
	}
	if _, err := DecodeSavepoint(manifest().Encode()); err == nil || !strings.Contains(err.Error(), "not of a savepoint") {
		t.Errorf("the manifest of a checkpoint: %v", err)
	}
}

func TestSavepointRefusesContradictions(t *testing.T) {
	for name, spoil := range map[string]func(s *Savepoint){
		"no plan":               func(s *Savepoint) { s.Graph = nil },
		"a plan that is none":   func(s *Savepoint) { s.Graph.Vertices = nil },
		"a subtask of no plan":  func(s *Savepoint) { s.Graph.Vertices = s.Graph.Vertices[:1]; s.Subtasks[0].Subtask.Vertex = 1 },
		"a file elsewhere":      func(s *Savepoint) { s.Subtasks[0].States = []job.StateHandle{{File: "../secret"}} },
		"a file that is hidden": func(s *Savepoint) { s.Subtasks[0].States = []job.StateHandle{{File: ".x"}} },
	} {
		s := savepoint()
		spoil(s)
		if _, err := DecodeSavepoint(s.Encode()); err == nil {
			t.Errorf("%s was not noticed", name)
		}
	}
}

// FuzzDecodeSavepoint gives its input a right checksum as well, as hardly any input would have one.
func FuzzDecodeSavepoint(f *testing.F) {
	b := savepoint().Encode()
	f.Add(b)
	f.Add(b[:len(b)-10])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, seal(b)} {
			s, err := DecodeSavepoint(b)
			if err != nil {
				continue
			}
			s.Inventory()
			s.Source("/x")
			if _, err := DecodeSavepoint(s.Encode()); err != nil {
				t.Errorf("what was read cannot be read again: %v", err)
			}
		}
	})
}

func TestInventory(t *testing.T) {
	s := savepoint()
	s.Subtasks = nil
	for i := range 3 {
		s.Subtasks = append(s.Subtasks, job.Acknowledgement{Checkpoint: s.Checkpoint, Subtask: job.Subtask{Index: i}, States: []job.StateHandle{
			{Operator: "a", State: "sums", Kind: job.ValueState, Size: 10},
			{Operator: "a", State: "splits", Kind: job.SplitsState, Size: 1},
		}})
	}
	s.Graph.Vertices[0].Parallelism = 3
	inv := s.Inventory()
	if len(inv.Operators) != 1 || len(inv.Operators[0].States) != 2 || inv.Size != 33 || inv.KeyGroups != 256 {
		t.Fatalf("got %+v", inv)
	}
	sums := inv.Operators[0].States[1]
	if sums.Name != "sums" || sums.Size != 30 || inv.Operators[0].States[0].Pieces[0].First != nil {
		t.Errorf("got %+v", inv.Operators[0])
	}
	next := 0
	for _, p := range sums.Pieces {
		if *p.First != next {
			t.Errorf("subtask %d begins at key group %d, want %d", p.Subtask, *p.First, next)
		}
		next = *p.Last + 1
	}
	if next != 256 {
		t.Errorf("the last key group is %d", next-1)
	}
}
