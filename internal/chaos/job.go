package chaos

import (
	"math/rand/v2"

	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/state/disk"
	"github.com/perennial-io/perennial/stream"
)

// Row is a line of the output.
type Row struct{ Key, Value uint64 }

// Main is the main function of the job.
func Main() { stream.Main("chaos", Build) }

// Build draws the job from --seed: sources, filters and keyed stages between exchanges, and a sink of the
// result of each key. State is kept on disk in two seeds of four. With --unbounded every record comes out by itself, and the job does not end.
func Build(env *stream.Env) {
	seed, records := env.IntArg("seed"), env.IntArg("records")
	output := env.Arg("output")
	rate := env.FloatArgOr("rate", 0)
	if seed/2%2 == 1 {
		env.KeepState(disk.Store(disk.Budget(32 << 20)))
	}
	if env.BoolArg("unbounded") {
		buildUnbounded(env, records, rate, output)
		return
	}
	draw := rand.New(rand.NewPCG(uint64(seed), 1))
	env.SetParallelism(1 + draw.IntN(3))
	var all []stream.Stream[Row]
	for i := range 1 + draw.IntN(2) {
		source := stream.From(env, name("numbers", i), generator.Count(uint64(records), func(i uint64) Row { return Row{i * 7, 1} }), stream.Rate(rate))
		all = append(all, source)
	}
	rows := stream.Union(all...)
	if n := uint64(2 + draw.IntN(5)); draw.IntN(2) == 0 {
		rows = stream.Filter(rows, "filter", func(r Row) bool { return r.Key%n != 0 })
	}
	keys := uint64(1 + draw.IntN(5000))
	stages := 1 + draw.IntN(3)
	for i := range stages {
		m := keys/uint64(i+1) + 1
		keyed := stream.KeyBy(rows, func(r Row) uint64 { return r.Key % m })
		if i < stages-1 { // each record changes its key, and goes on
			rows = stream.Map(stream.Rebalance(rows), name("spread", i), func(r Row) Row { return Row{r.Key*2862933555777941757 + 3037000493, r.Value} })
			continue
		}
		rows = stream.Aggregate(keyed, "sum", func(sum *uint64, r Row) { *sum += r.Value + r.Key%13 }, func(k, sum uint64) Row { return Row{k, sum} })
	}
	stream.To(rows, "out", file.JSONLines[Row](output))
}

// buildUnbounded lets every number through, once, and then waits to be cancelled.
func buildUnbounded(env *stream.Env, records int, rate float64, output string) {
	numbers := stream.FromFunc(env, "numbers", func(ctx *stream.Context, emit func(Row)) error {
		for i := range uint64(records) {
			emit(Row{i, 1})
		}
		<-ctx.Done()
		return nil
	}, stream.Unbounded(), stream.Rate(rate))
	// The count per key travels with each record, so that state which is lost or restored twice shows.
	counted := stream.Aggregate(stream.KeyBy(numbers, func(r Row) uint64 { return r.Key % 97 }), "count",
		func(n *uint64, _ Row) { *n++ }, func(k, n uint64) Row { return Row{k, n} })
	stream.To(counted, "out", file.JSONLines[Row](output))
}

func name(what string, i int) string { return what + " " + string(rune('a'+i)) }
