package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/internal/job"
)

type uncarriable struct {
	ID   int
	Done chan bool
}

// TestProblems shows that what is wrong with a job is reported, naming the operator, and
// all of it together.
func TestProblems(t *testing.T) {
	numbers := func(env *Env) Stream[int] { return From(env, "numbers", slice.Of(1, 2, 3)) }
	end := func(s Stream[int]) { To(s, "end", discard.All[int]()) }
	same := func(n int) int { return n }
	tests := []struct {
		name  string
		args  []string
		build func(env *Env)
		want  []string // parts of the error
	}{
		{"nothing", nil, func(*Env) {}, []string{"no operators"}},
		{"no sink", nil, func(env *Env) { numbers(env) }, []string{"no sink"}},
		{"nothing takes it", nil, func(env *Env) {
			end(numbers(env))
			Map(numbers2(env), "lost", same)
		}, []string{`operator "lost"`, "nothing takes"}},
		{"one name twice", nil, func(env *Env) { end(Map(Map(numbers(env), "m", same), "m", same)) },
			[]string{`operator "m"`, "this name"}},
		{"no name", nil, func(env *Env) { end(Map(numbers(env), "", same)) }, []string{"map operator has no name"}},
		{"zero stream", nil, func(env *Env) {
			end(numbers(env))
			var s Stream[int]
			Map(s, "orphan", same)
		}, []string{`operator "orphan"`, "no input"}},
		{"another job's stream", nil, func(env *Env) { end(Union(numbers(&Env{args: newArguments(nil)}), Map(numbers(env), "m", same))) },
			[]string{`operator "end": its input`, "another Env"}},
		{"empty union", nil, func(*Env) { end(Union[int]()) }, []string{`operator "end"`, "no input"}},
		{"uncarriable key", nil, func(env *Env) {
			type key struct{ P *int }
			keyed := KeyBy(numbers(env), func(int) key { return key{} })
			end(Reduce(keyed, "sum", func(a, b int) int { return a + b }))
		}, []string{`operator "sum"`, "key"}},
		{"uncarriable record by key", nil, func(env *Env) {
			u := Map(numbers(env), "u", func(n int) uncarriable { return uncarriable{ID: n} })
			keyed := KeyBy(u, func(u uncarriable) int { return u.ID })
			end(Aggregate(keyed, "count", func(n *int, _ uncarriable) { *n++ }, func(_, n int) int { return n }))
		}, []string{`operator "count"`, "Done", "chan"}},
		{"uncarriable record to another parallelism", nil, func(env *Env) {
			u := Map(numbers(env), "u", func(n int) uncarriable { return uncarriable{ID: n} })
			end(Map(u, "back", func(u uncarriable) int { return u.ID }, Parallelism(2)))
		}, []string{`operator "back"`, "Done", "chan"}},
		{"parallelism", nil, func(env *Env) { end(Map(numbers(env), "m", same, Parallelism(0))) },
			[]string{`operator "m"`, "parallelism 0", "1 or more"}},
		{"parallelism of the job", nil, func(env *Env) { env.SetParallelism(257); end(numbers(env)) },
			[]string{"257", "expected 1 to 256"}},
		{"highest parallelism", nil, func(env *Env) { env.SetMaxParallelism(40_000); end(numbers(env)) },
			[]string{"SetMaxParallelism(40000)", "1 to 32768"}},
		{"parallelism flag", []string{"-p", "many"}, func(env *Env) { end(numbers(env)) },
			[]string{`--parallelism "many"`, "1 or more"}},
		{"negative rate", nil, func(env *Env) { end(From(env, "numbers", slice.Of(1), Rate(-1))) },
			[]string{`operator "numbers"`, "rate -1"}},
		{"misplaced options", nil, func(env *Env) { end(Map(numbers(env), "m", same, Rate(1), Updates(), Unbounded())) },
			[]string{`operator "m": stream.Rate`, `operator "m": stream.Updates`, `operator "m": stream.Unbounded`}},
		{"misplaced policies", nil, func(env *Env) {
			end(Watermarks(numbers(env), "times", func(int) time.Time { return time.Time{} }, 0, OnError(Skip)))
			To(numbers2(env), "out", discard.All[int](), OnError(Skip))
			end(Map(From(env, "in", slice.Of(1), OnError(Skip)), "m", same, OnError(7)))
		}, []string{`operator "times": stream.OnError and`, `operator "out": a sink fails as a whole`, `operator "in": stream.OnError and`, `stream.OnError(7)`}},
		{"dead letters of another type", nil, func(env *Env) {
			var dead Stream[DeadLetter[string]]
			end(Map(numbers(env), "m", same, DeadLetters(&dead)))
			To(dead, "dead", discard.All[DeadLetter[string]]())
		}, []string{`operator "m": its dead letters are of type int, and stream.DeadLetters was given a stream for those of type string`, `"dead"`, "no input"}},
		{"dead letters that nothing takes", nil, func(env *Env) {
			var dead Stream[DeadLetter[int]]
			end(Map(numbers(env), "m", same, DeadLetters(&dead)))
		}, []string{`operator "m dead letters": nothing takes`}},
		{"only dead letters are taken", nil, func(env *Env) {
			var dead Stream[DeadLetter[int]]
			Map(numbers(env), "m", same, DeadLetters(&dead))
			To(dead, "dead", discard.All[DeadLetter[int]]())
		}, []string{`operator "m": nothing takes`}},
		{"dead letters and another policy", nil, func(env *Env) {
			end(Map(numbers(env), "m", same, DeadLetters[int](nil), OnError(Skip)))
		}, []string{`operator "m": stream.OnError and stream.DeadLetters exclude`, "stream.DeadLetters(nil)"}},
		{"dead letters of one input of two", nil, func(env *Env) {
			var dead Stream[DeadLetter[int]]
			a, b := KeyBy(numbers(env), same), KeyBy(numbers2(env), same)
			end(CoProcess(a, b, "both", func(*Operator[int, int]) (func(int) error, func(int) error) {
				return func(int) error { return nil }, func(int) error { return nil }
			}, DeadLetters(&dead)))
			To(dead, "dead", discard.All[DeadLetter[int]]())
		}, []string{`operator "both": stream.DeadLetters is there 1 times: expected once for each input of the operator, 2 in all`}},
		{"idleness", nil, func(env *Env) {
			end(Watermarks(Map(numbers(env), "m", same, Idleness(time.Second)), "times", func(int) time.Time { return time.Time{} }, 0, Idleness(0)))
		}, []string{`operator "m": stream.Idleness is for Watermarks`, `operator "times": idleness 0s: expected at least a millisecond`}},
		{"dead timers", nil, func(env *Env) {
			var dead Stream[DeadLetter[Timer[string]]]
			process := func(*Operator[int, int]) func(int) error { return func(int) error { return nil } }
			end(Process(KeyBy(Map(numbers(env), "m", same, DeadTimers(&dead)), same), "p", process, DeadTimers(&dead), DeadTimers(&dead)))
		}, []string{`operator "m": stream.DeadTimers is for Process`, `operator "p": stream.DeadTimers is there 2 times`,
			`operator "p": its dead timers are of type operator.Timer[int]`}},
		{"missing arguments", []string{"--input", "x"}, func(env *Env) {
			env.Arg("input")
			env.Arg("output")
			env.IntArg("count")
			end(numbers(env))
		}, []string{"missing arguments: output, count", "--output VALUE --count VALUE"}},
		{"the job's own rules", nil, func(env *Env) {
			env.Errorf("--from %d is after --to %d", 2, 1)
			end(numbers(env))
		}, []string{"--from 2 is after --to 1"}},
		{"flag without value", []string{"--input", "--output", "x"}, func(env *Env) {
			env.Arg("input")
			env.Arg("output")
			end(numbers(env))
		}, []string{"--input needs a value"}},
		{"malformed numbers", []string{"--count", "ten", "--rate=fast", "--wait", "1"}, func(env *Env) {
			env.IntArg("count")
			env.FloatArgOr("rate", 0)
			env.DurationArgOr("wait", 0)
			end(numbers(env))
		}, []string{`--count "ten"`, "integer", `--rate "fast"`, "number", `--wait "1"`, "1m30s"}},
		{"unknown", []string{"--colour", "red", "blue"}, func(env *Env) { end(numbers(env)) },
			[]string{"unknown flag --colour", `unexpected argument "blue"`}},
		{"everything together", nil, func(env *Env) {
			env.Arg("input")
			numbers(env)
			numbers(env)
		}, []string{"missing arguments: input", `operator "numbers"`, "no sink"}},
		{"what the connectors say", nil, func(env *Env) { To(From(env, "in", picky[int]{}), "out", pickySink[int]{}) },
			[]string{`operator "in": no such place`, `operator "out": not writable`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := definition{"job", test.build}.checked(t.Context(), job.Spec{Args: test.args})
			if err == nil {
				t.Fatal("the job was planned")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q\nwant it to contain %q", err, part)
				}
			}
		})
	}
}

func numbers2(env *Env) Stream[int] { return From(env, "more numbers", slice.Of(1)) }

// picky is a source, pickySink a sink, whose Check fails.
type picky[T any] struct{ connector.Source[T] }

func (picky[T]) Bounded() bool                  { return true }
func (picky[T]) Check(*connector.Context) error { return errText("no such place") }

type pickySink[T any] struct{ connector.Sink[T] }

func (pickySink[T]) Check(*connector.Context) error { return errText("not writable") }

type errText string

func (e errText) Error() string { return string(e) }

func TestArguments(t *testing.T) {
	args := []string{"--input", "a", "--input=b", "--verbose", "--rate", "2.5", "--offset", "-5", "--note=--x", "-p", "3", "--dry=false"}
	env := definition{"job", func(env *Env) {
		if got := env.Arg("input"); got != "b" {
			t.Errorf("input = %q, want the last, b", got)
		}
		if !env.BoolArg("verbose") || env.BoolArg("dry") || env.BoolArg("absent") {
			t.Error("flags without values were misread")
		}
		if got := env.FloatArgOr("rate", 1); got != 2.5 {
			t.Errorf("rate = %v", got)
		}
		if got := env.IntArg("offset"); got != -5 {
			t.Errorf("offset = %v", got)
		}
		if got := env.ArgOr("note", ""); got != "--x" {
			t.Errorf("note = %q", got)
		}
		if got := env.IntArgOr("absent-number", 7); got != 7 {
			t.Errorf("absent-number = %v", got)
		}
		if got := env.Arg("input"); got != "b" {
			t.Errorf("input asked twice = %q", got)
		}
	}}.define(args)
	if errs := env.args.problems(); len(errs) > 0 {
		t.Errorf("problems: %v", errs)
	}
	if env.flags.parallelism != 3 {
		t.Errorf("parallelism = %d, want 3", env.flags.parallelism)
	}
	if v := env.args.values(); v["input"] != "b" || v["verbose"] != "true" || v["absent-number"] != "7" {
		t.Errorf("values = %v", v)
	}
}

func TestHelp(t *testing.T) {
	var b strings.Builder
	definition{"wordcount", func(env *Env) {
		env.Arg("input", "what to read")
		env.IntArgOr("rate", 10)
		env.BoolArg("dry", "write nothing")
		panic("it did not expect to have no input")
	}}.help(&b)
	for _, part := range []string{
		"wordcount: a Perennial job", "--input VALUE", "what to read (required)", "--rate VALUE", "(default 10)",
		"--dry ", "write nothing", "-p, --parallelism VALUE", "-q, --quiet", "-h, --help",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("help lacks %q:\n%s", part, b.String())
		}
	}
}
