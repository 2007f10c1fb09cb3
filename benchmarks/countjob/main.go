// Countjob is the job under which benchmarks take checkpoints and kill tasks: numbers without a
// foreseeable end, counted by key. How many keys there are is how large its state is.
package main

import (
	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// many records take years; a source that says that it ends makes the count one result per key, so
// that nothing but counting is measured.
const many = 1 << 50

func main() {
	stream.Main("count", func(env *stream.Env) {
		keys := uint64(env.IntArgOr("keys", 1_000_000, "how many there are"))
		numbers := stream.From(env, "numbers", generator.Count(many, func(i uint64) uint64 { return mix(i) % keys }),
			stream.Rate(env.FloatArgOr("rate", 0, "records a second; 0: as many as can be")))
		counts := stream.Aggregate(stream.KeyBy(numbers, func(n uint64) uint64 { return n }), "count",
			func(n *uint64, _ uint64) { *n++ }, func(_, n uint64) uint64 { return n })
		stream.To(counts, "discard", discard.All[uint64]())
	})
}

// mix spreads the bits of i, as the data path's keyed count does.
func mix(i uint64) uint64 {
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}
