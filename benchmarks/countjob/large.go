package main

import (
	"github.com/perennial-io/perennial/benchmarks/arrivals"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// account is 104 bytes that do not compress; with its key it has 112.
type account struct {
	Changes uint64
	Words   [12]uint64
}

// large has a wide state by key: one source makes every key once, and ends; another one changes keys at random, at a
// steady rate.
func large(env *stream.Env, keys uint64, rate float64, path string) {
	fill := stream.From(env, "fill", generator.Count(keys, func(i uint64) uint64 { return i }))
	changes := stream.From(env, "changes", generator.Unbounded(func(i uint64) uint64 { return mix(i) % keys }), stream.Rate(rate))
	counts := stream.Aggregate(stream.KeyBy(stream.Union(fill, changes), func(key uint64) uint64 { return key }), "account",
		change, func(_ uint64, a account) uint64 { return a.Changes })
	// What fills the state is not what is waited for.
	changed := stream.Filter(counts, "changed", func(n uint64) bool { return n > 1 })
	stream.ToFunc(changed, "arrivals", arrivals.Sink[uint64](path), stream.Parallelism(1))
}

func change(a *account, key uint64) {
	if a.Changes == 0 {
		for i := range a.Words {
			a.Words[i] = mix(key*uint64(len(a.Words)) + uint64(i))
		}
	}
	a.Changes++
}
