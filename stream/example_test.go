package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/connector/print"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

// run runs a job in this process, as stream.Main does for a job that is started by hand.
func run(build func(env *stream.Env), args ...string) {
	if err := stream.Run(context.Background(), "example", args, build); err != nil {
		fmt.Println(err)
	}
}

// printed ends a stream in a sink that prints each record on a line.
func printed[T any](s stream.Stream[T]) { stream.To(s, "print", print.Stdout[T]()) }

func Example() {
	type wordCount struct {
		Word  string
		Count int
	}
	run(func(env *stream.Env) {
		lines := stream.From(env, "lines", slice.Of("to be or not", "to be"))
		words := stream.FlatMap(lines, "words", func(line string, emit func(string)) {
			for word := range strings.FieldsSeq(line) {
				emit(word)
			}
		})
		byWord := stream.KeyBy(words, func(word string) string { return word })
		counts := stream.Aggregate(byWord, "count",
			func(n *int, _ string) { *n++ },
			func(word string, n int) wordCount { return wordCount{word, n} })
		printed(counts)
	})
	// Output:
	// {Word:to Count:2}
	// {Word:be Count:2}
	// {Word:or Count:1}
	// {Word:not Count:1}
}

func ExampleFrom() {
	run(func(env *stream.Env) {
		squares := stream.From(env, "squares", generator.Count(4, func(i uint64) uint64 { return i * i }))
		printed(squares)
	})
	// Output:
	// 0
	// 1
	// 4
	// 9
}

func ExampleFromFunc() {
	run(func(env *stream.Env) {
		fibonacci := stream.FromFunc(env, "fibonacci", func(_ *stream.Context, emit func(int)) error {
			for a, b := 1, 1; a < 20; a, b = b, a+b {
				emit(a)
			}
			return nil
		})
		printed(fibonacci)
	})
	// Output:
	// 1
	// 1
	// 2
	// 3
	// 5
	// 8
	// 13
}

func ExampleMap() {
	run(func(env *stream.Env) {
		words := stream.From(env, "words", slice.Of("flow", "stream"))
		lengths := stream.Map(words, "lengths", func(w string) int { return len(w) })
		printed(lengths)
	})
	// Output:
	// 4
	// 6
}

func ExampleModify() {
	type reading struct {
		Sensor  string
		Celsius float64
	}
	run(func(env *stream.Env) {
		readings := stream.From(env, "readings", slice.Of(reading{"roof", 20.5}, reading{"cellar", 12}))
		corrected := stream.Modify(readings, "correct", func(r *reading) { r.Celsius -= 0.5 })
		printed(corrected)
	})
	// Output:
	// {Sensor:roof Celsius:20}
	// {Sensor:cellar Celsius:11.5}
}

func ExampleRetain() {
	type reading struct {
		Sensor  string
		Celsius float64
	}
	run(func(env *stream.Env) {
		readings := stream.From(env, "readings", slice.Of(reading{"roof", 20.5}, reading{"cellar", 12}, reading{"hall", 19}))
		warm := stream.Retain(readings, "warm", func(r *reading) bool { return r.Celsius > 15 })
		printed(warm)
	})
	// Output:
	// {Sensor:roof Celsius:20.5}
	// {Sensor:hall Celsius:19}
}

func ExampleFilter() {
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(1, 2, 3, 4))
		even := stream.Filter(numbers, "even", func(n int) bool { return n%2 == 0 })
		printed(even)
	})
	// Output:
	// 2
	// 4
}

func ExampleFlatMap() {
	run(func(env *stream.Env) {
		lines := stream.From(env, "lines", slice.Of("a b", "", "c"))
		words := stream.FlatMap(lines, "words", func(line string, emit func(string)) {
			for _, w := range strings.Fields(line) {
				emit(w)
			}
		})
		printed(words)
	})
	// Output:
	// a
	// b
	// c
}

func ExampleApply() {
	run(func(env *stream.Env) {
		names := stream.From(env, "names", slice.Of("Ada", "Grace"))
		greetings := stream.Apply(names, "greet", func(ctx *stream.Context) (func(string, func(string)) error, error) {
			greeting, n := ctx.Arg("greeting"), 0 // n is this subtask's own
			return func(name string, emit func(string)) error {
				if name == "" {
					return errors.New("nobody to greet")
				}
				n++
				emit(fmt.Sprintf("%d: %s, %s", n, greeting, name))
				return nil
			}, nil
		})
		env.ArgOr("greeting", "hello", "what to say to each")
		printed(greetings)
	}, "--greeting", "good morning")
	// Output:
	// 1: good morning, Ada
	// 2: good morning, Grace
}

func ExampleOnError() {
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(3, 2, 0, 1))
		quotients := stream.Map(numbers, "divide", func(n int) int { return 6 / n }, stream.OnError(stream.Skip))
		printed(quotients) // nothing for 0, by which Go cannot divide; it is counted and logged
	})
	// Output:
	// 2
	// 3
	// 6
}

func ExampleDeadLetters() {
	run(func(env *stream.Env) {
		words := stream.From(env, "words", slice.Of("1", "two", "3"))
		var rejected stream.Stream[stream.DeadLetter[string]]
		numbers := stream.Apply(words, "parse", func(*stream.Context) (func(string, func(int)) error, error) {
			return func(word string, emit func(int)) error {
				n, err := strconv.Atoi(word)
				emit(n)
				return err
			}, nil
		}, stream.DeadLetters(&rejected))
		printed(numbers)
		stream.ForEach(rejected, "rejected", func(d stream.DeadLetter[string]) { fmt.Printf("%s, %q: %s\n", d.Operator, d.Record, d.Error) })
	})
	// Unordered output:
	// 1
	// 3
	// parse, "two": strconv.Atoi: parsing "two": invalid syntax
}

func ExampleOnError_aggregate() {
	run(func(env *stream.Env) {
		words := stream.From(env, "words", slice.Of("1", "two", "3"))
		all := stream.KeyBy(words, func(string) bool { return true })
		sum := stream.Aggregate(all, "sum", func(sum *int, word string) {
			n, err := strconv.Atoi(word)
			*sum += n
			if err != nil {
				panic(err) // and the sum stays what it was
			}
		}, func(_ bool, sum int) int { return sum }, stream.OnError(stream.Skip))
		printed(sum)
	})
	// Output:
	// 4
}

func ExampleReduce() {
	type sale struct {
		Fruit string
		Cents int
	}
	run(func(env *stream.Env) {
		sales := stream.From(env, "sales", slice.Of(sale{"apple", 40}, sale{"pear", 55}, sale{"apple", 45}))
		byFruit := stream.KeyBy(sales, func(s sale) string { return s.Fruit })
		totals := stream.Reduce(byFruit, "total", func(sum, next sale) sale {
			sum.Cents += next.Cents
			return sum
		})
		printed(totals)
	})
	// Output:
	// {Fruit:apple Cents:85}
	// {Fruit:pear Cents:55}
}

func ExampleAggregate() {
	type mean struct{ sum, n float64 }
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(1.0, 2.0, 3.0, 10.0, 20.0))
		big := stream.KeyBy(numbers, func(x float64) bool { return x >= 10 })
		means := stream.Aggregate(big, "mean",
			func(m *mean, x float64) { m.sum += x; m.n++ },
			func(big bool, m mean) string { return fmt.Sprintf("big %t: %.1f", big, m.sum/m.n) })
		printed(means)
	})
	// Output:
	// big false: 2.0
	// big true: 15.0
}

func ExampleKeyBy() {
	run(func(env *stream.Env) {
		words := stream.From(env, "words", slice.Of("ant", "bee", "asp", "bat"))
		byFirst := stream.KeyBy(words, func(w string) byte { return w[0] })
		longest := stream.Reduce(byFirst, "join", func(a, b string) string { return a + " " + b })
		printed(longest)
	})
	// Output:
	// ant asp
	// bee bat
}

func ExampleUpdates() {
	run(func(env *stream.Env) {
		words := stream.From(env, "words", slice.Of("a", "b", "a"))
		byWord := stream.KeyBy(words, func(w string) string { return w })
		counts := stream.Aggregate(byWord, "count",
			func(n *int, _ string) { *n++ },
			func(w string, n int) string { return fmt.Sprint(w, " ", n) },
			stream.Updates())
		printed(counts)
	})
	// Output:
	// a 1
	// b 1
	// a 2
}

func ExampleUnion() {
	run(func(env *stream.Env) {
		here := stream.From(env, "here", slice.Of("here 1", "here 2"))
		there := stream.From(env, "there", slice.Of("there 1"))
		printed(stream.Union(here, there))
	})
	// Unordered output:
	// here 1
	// here 2
	// there 1
}

func ExampleRebalance() {
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(1, 2, 3, 4))
		// One subtask reads; the work on what it reads is dealt out to two.
		slow := stream.Map(stream.Rebalance(numbers), "slow", func(n int) int { return n * n }, stream.Parallelism(2))
		printed(slow)
	})
	// Unordered output:
	// 1
	// 4
	// 9
	// 16
}

func ExampleBroadcast() {
	run(func(env *stream.Env) {
		rules := stream.From(env, "rules", slice.Of("be kind"))
		everywhere := stream.Apply(stream.Broadcast(rules), "apply", func(ctx *stream.Context) (func(string, func(string)) error, error) {
			return func(rule string, emit func(string)) error {
				emit(fmt.Sprintf("subtask %d of %d: %s", ctx.Subtask(), ctx.Parallelism(), rule))
				return nil
			}, nil
		}, stream.Parallelism(2))
		printed(everywhere)
	})
	// Unordered output:
	// subtask 0 of 2: be kind
	// subtask 1 of 2: be kind
}

func ExampleTo() {
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(1, 2, 3))
		stream.To(numbers, "print", print.Stdout[int]())
		stream.To(numbers, "discard", discard.All[int]()) // a stream may have several consumers
	})
	// Output:
	// 1
	// 2
	// 3
}

func ExampleToFunc() {
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(3, 2, 0, 1))
		stream.ToFunc(numbers, "divide", func(ctx *stream.Context) (func(int) error, error) {
			return func(n int) error {
				if n == 0 {
					return errors.New("division by zero")
				}
				fmt.Println(6 / n)
				return nil
			}, nil
		})
	})
	// Output:
	// 2
	// 3
	// operator "divide", subtask 0: division by zero
}

func ExampleForEach() {
	run(func(env *stream.Env) {
		numbers := stream.From(env, "numbers", slice.Of(1, 2))
		stream.ForEach(numbers, "show", func(n int) { fmt.Println("got", n) })
	})
	// Output:
	// got 1
	// got 2
}

func ExampleParallelism() {
	run(func(env *stream.Env) {
		env.SetParallelism(4) // of the job: of every operator that does not say otherwise
		numbers := stream.From(env, "numbers", slice.Of(1, 2, 3), stream.Parallelism(1))
		doubled := stream.Map(numbers, "double", func(n int) int { return 2 * n })
		stream.To(doubled, "print", print.Stdout[int](), stream.Parallelism(1))
	})
	// Unordered output:
	// 2
	// 4
	// 6
}

func ExampleRate() {
	run(func(env *stream.Env) {
		ticks := stream.From(env, "ticks", generator.Count(3, func(i uint64) uint64 { return i }), stream.Rate(1000))
		printed(ticks) // one each millisecond
	})
	// Output:
	// 0
	// 1
	// 2
}

// A job is a program whose main function calls Main.
func ExampleMain() {
	stream.Main("squares", func(env *stream.Env) {
		n := env.IntArg("count", "how many squares to print")
		squares := stream.From(env, "squares", generator.Count(uint64(n), func(i uint64) uint64 { return i * i }))
		stream.To(squares, "print", print.Stdout[uint64]())
	})
}

func ExampleEnv_Arg() {
	run(func(env *stream.Env) {
		input, output := env.Arg("input"), env.Arg("output")
		lines := stream.From(env, "lines", slice.Of(input, output))
		printed(lines)
	}, "--input", "a.txt")
	// Output:
	// job "example" cannot run: missing arguments: output; pass them as --output VALUE
}
