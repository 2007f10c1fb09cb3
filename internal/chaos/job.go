package chaos

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// Row is a line of the output.
type Row struct{ Key, Value uint64 }

// Main is the main function of the job.
func Main() { stream.Main("chaos", Build) }

// Build draws the job from --seed: sources, filters and keyed stages between exchanges, and a sink of the
// result of each key, or of every record. With --unbounded every record comes out by itself, and the job does
// not end. With --skew some records wait for so many milliseconds on their way.
//
// Timers and states of a Process are to be drawn here too.
func Build(env *stream.Env) {
	seed, records := env.IntArg("seed"), env.IntArg("records")
	output := env.Arg("output")
	rate, skew := env.FloatArgOr("rate", 0), env.FloatArgOr("skew", 0)
	if env.BoolArg("unbounded") {
		buildUnbounded(env, records, rate, skew, output)
		return
	}
	draw := rand.New(rand.NewPCG(uint64(seed), 1))
	env.SetParallelism(1 + draw.IntN(3))
	var all []stream.Stream[Row]
	for i := range 1 + draw.IntN(2) {
		all = append(all, source(env, draw, name("numbers", i), records, rate))
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
			rows = stream.Map(slow(stream.Rebalance(rows), name("slow", i), skew), name("spread", i), func(r Row) Row { return Row{r.Key*2862933555777941757 + 3037000493, r.Value} })
			continue
		}
		rows = last(draw, rows, keyed, skew)
	}
	stream.To(rows, "out", file.JSONLines[Row](output))
}

// source draws what reads: splits that any subtask takes, or a function, which begins anew and is skipped.
func source(env *stream.Env, draw *rand.Rand, name string, records int, rate float64) stream.Stream[Row] {
	row := func(i uint64) Row { return Row{i * 7, 1} }
	if draw.IntN(3) > 0 {
		return stream.From(env, name, generator.Count(uint64(records), row), stream.Rate(rate))
	}
	return stream.FromFunc(env, name, func(_ *stream.Context, emit func(Row)) error {
		for i := range uint64(records) {
			emit(row(i))
		}
		return nil
	}, stream.Rate(rate), stream.Parallelism(1))
}

// last draws what is put out: the sum of each key in the end, a count of each key after each record, or the
// records themselves.
func last(draw *rand.Rand, rows stream.Stream[Row], keyed stream.KeyedStream[uint64, Row], skew float64) stream.Stream[Row] {
	switch draw.IntN(3) {
	case 0:
		return stream.Aggregate(keyed, "count", func(n *uint64, _ Row) { *n++ }, func(k, n uint64) Row { return Row{k, n} }, stream.Updates())
	case 1:
		return slow(stream.Rebalance(rows), "slow", skew)
	}
	return stream.Aggregate(keyed, "sum", func(sum *uint64, r Row) { *sum += r.Value + r.Key%13 }, func(k, sum uint64) Row { return Row{k, sum} })
}

// slow lets records through, and has some wait: so not every channel has come equally far when a barrier passes.
func slow(rows stream.Stream[Row], name string, skew float64, opts ...stream.Option) stream.Stream[Row] {
	return stream.Apply(rows, name, func(ctx *stream.Context) (func(Row, func(Row)) error, error) {
		return func(r Row, emit func(Row)) error {
			if skew > 0 && r.Key%5 == uint64(ctx.Subtask()) {
				if err := wait(ctx, time.Duration(skew*float64(time.Millisecond))); err != nil {
					return err
				}
			}
			emit(r)
			return nil
		}, nil
	}, opts...)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// buildUnbounded lets every number through, once, and then waits to be cancelled.
func buildUnbounded(env *stream.Env, records int, rate, skew float64, output string) {
	numbers := stream.FromFunc(env, "numbers", func(ctx *stream.Context, emit func(Row)) error {
		for i := range uint64(records) {
			emit(Row{i, 1})
		}
		<-ctx.Done()
		return nil
	}, stream.Unbounded(), stream.Rate(rate), stream.Parallelism(1))
	// The count per key travels with each record, so that state which is lost or restored twice shows.
	spread := slow(stream.Rebalance(numbers), "slow", skew, stream.Parallelism(2))
	counted := stream.Aggregate(stream.KeyBy(spread, func(r Row) uint64 { return r.Key % 97 }), "count",
		func(n *uint64, _ Row) { *n++ }, func(k, n uint64) Row { return Row{k, n} }, stream.Parallelism(2))
	stream.To(counted, "out", file.JSONLines[Row](output))
}

func name(what string, i int) string { return what + " " + string(rune('a'+i)) }
