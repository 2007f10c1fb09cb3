// Gapjob is the job under which benchmarks kill leaders: numbers at a steady rate, by key to one
// sink, which writes down when they arrive.
package main

import (
	"github.com/perennial-io/perennial/benchmarks/arrivals"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

func main() {
	stream.Main("gaps", func(env *stream.Env) {
		path := env.Arg("arrivals", "file to write to")
		numbers := stream.From(env, "numbers", generator.Unbounded(func(i uint64) uint64 { return i }), stream.Rate(env.FloatArgOr("rate", 1000)))
		sums := stream.Reduce(stream.KeyBy(numbers, func(n uint64) uint64 { return n % 100 }), "sum", func(a, b uint64) uint64 { return a + b })
		stream.ToFunc(sums, "arrivals", arrivals.Sink[uint64](path), stream.Parallelism(1))
	})
}
