// Countjob is the job under which benchmarks take checkpoints and kill tasks: numbers without a
// foreseeable end, counted by key. How many keys there are is how large its state is.
package main

import (
	"github.com/perennial-io/perennial/benchmarks/arrivals"
	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/state/disk"
	"github.com/perennial-io/perennial/stream"
)

func main() {
	stream.Main("count", func(env *stream.Env) {
		keys := uint64(env.IntArgOr("keys", 1_000_000, "how many there are"))
		rate := env.FloatArgOr("rate", 0, "records a second; 0: as many as can be")
		path := env.ArgOr("arrivals", "", "file that tells when counts come out, each new one; without it none does")
		if env.BoolArg("disk", "keep state on disk") {
			env.KeepState(disk.Store())
		}
		switch {
		case env.BoolArg("large", "wide state, which is there before it is counted in"):
			large(env, keys, rate, path)
		case path != "":
			count(stream.From(env, "numbers", generator.Unbounded(number(keys)), stream.Rate(rate)), path)
		default:
			count(stream.From(env, "numbers", generator.Count(many, number(keys)), stream.Rate(rate)), "")
		}
	})
}

// many records take years; a source that says that it ends makes the count one result per key, so
// that nothing but counting is measured.
const many = 1 << 50

func count(numbers stream.Stream[uint64], path string) {
	counts := stream.Aggregate(stream.KeyBy(numbers, func(n uint64) uint64 { return n }), "count",
		func(n *uint64, _ uint64) { *n++ }, func(_, n uint64) uint64 { return n })
	if path == "" {
		stream.To(counts, "discard", discard.All[uint64]())
		return
	}
	stream.ToFunc(counts, "arrivals", arrivals.Sink[uint64](path), stream.Parallelism(1))
}

// number makes every key once, and then any of them.
func number(keys uint64) func(i uint64) uint64 {
	return func(i uint64) uint64 {
		if i < keys {
			return i
		}
		return mix(i) % keys
	}
}

// mix spreads the bits of i, as the data path's keyed count does.
func mix(i uint64) uint64 {
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}
