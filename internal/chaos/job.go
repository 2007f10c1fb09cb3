package chaos

import (
	"context"
	"math/rand/v2"
	"time"

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
// result of each key, or of every record. With --unbounded every record comes out by itself, and the job does
// not end. --witness names a directory in which it notes which attempt took records when. With --idle it wants more slots than
// any cluster has, and never runs. With --skew some records wait for so many milliseconds on their way.
//
// State is kept on disk in two seeds of four.
func Build(env *stream.Env) {
	if env.BoolArg("idle") {
		buildIdle(env)
		return
	}
	seed, records := env.IntArg("seed"), env.IntArg("records")
	output := env.Arg("output")
	rate, skew := env.FloatArgOr("rate", 0), env.FloatArgOr("skew", 0)
	if seed/2%2 == 1 {
		env.KeepState(disk.Store(disk.Budget(32 << 20)))
	}
	if env.BoolArg("unbounded") {
		buildUnbounded(env, seed, records, rate, skew, output)
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
	stream.To(witnessed(rows, env.ArgOr("witness", "")), "out", file.JSONLines[Row](output))
	if seed%3 == 1 {
		aside(env, seed, records, rate, skew, output)
	}
}

// Aside is where what no exchange connects with the rest of the job puts out, beside the output.
func Aside(output string) string { return output + ".aside" }

// aside is a part of the job that restarts without the rest, and the rest without it: subtasks that have nothing to do
// with each other, or two connected vertices.
func aside(env *stream.Env, seed, records int, rate, skew float64, output string) {
	rows := stream.From(env, "beside", generator.Count(uint64(records)/2, func(i uint64) Row { return Row{i, 2} }), stream.Rate(rate/2), stream.Parallelism(1+seed%4))
	if seed%2 == 0 {
		keyed := stream.KeyBy(rows, func(r Row) uint64 { return r.Key % 50 })
		rows = counting(keyed, "counting beside", stream.Parallelism(1+seed%3))
	} else {
		rows = slow(rows, "slow beside", skew, stream.Parallelism(1+seed%4))
	}
	stream.To(rows, "out beside", file.JSONLines[Row](Aside(output)))
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

// last draws what is put out: the sum of each key in the end, a count of each key after each record, at once or
// after a while, or the records themselves.
func last(draw *rand.Rand, rows stream.Stream[Row], keyed stream.KeyedStream[uint64, Row], skew float64) stream.Stream[Row] {
	switch draw.IntN(5) {
	case 3, 4:
		return counting(keyed, "counting")
	case 0:
		return stream.Aggregate(keyed, "count", func(n *uint64, _ Row) { *n++ }, func(k, n uint64) Row { return Row{k, n} }, stream.Updates())
	case 1:
		return slow(stream.Rebalance(rows), "slow", skew)
	}
	return stream.Aggregate(keyed, "sum", func(sum *uint64, r Row) { *sum += r.Value + r.Key%13 }, func(k, sum uint64) Row { return Row{k, sum} })
}

// counting emits the count of each key after each record, as Aggregate does, by states and timers: what is counted
// waits in a list and a map until a timer lets it go, or the end does. What is lost, restored twice or fired twice shows.
func counting(rows stream.KeyedStream[uint64, Row], name string, opts ...stream.Option) stream.Stream[Row] {
	return stream.Process(rows, name, func(op *stream.Operator[uint64, Row]) func(Row) error {
		count := stream.NewValue[uint64](op, "count")
		waiting := stream.NewList[uint64](op, "waiting")
		odd := stream.NewMap[uint64, []uint64](op, "odd")
		letGo := func(time.Time) error {
			for n := range waiting.All() {
				op.Emit(Row{op.Key(), n})
			}
			for _, ns := range odd.All() {
				for _, n := range ns {
					op.Emit(Row{op.Key(), n})
				}
			}
			waiting.Clear()
			odd.Clear()
			return nil
		}
		op.OnTimer(letGo)
		op.OnEventTimer(letGo) // at the end
		return func(r Row) error {
			n, _ := count.Get()
			n++
			count.Set(n)
			if n%2 == 0 {
				waiting.Add(n)
			} else {
				ns, _ := odd.Get(n % 8)
				odd.Set(n%8, append(ns, n))
			}
			op.SetTimer(time.Now().Add(time.Duration(r.Key%50) * time.Millisecond))
			op.SetEventTimer(time.UnixMilli(0))
			return nil
		}
	}, opts...)
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
func buildUnbounded(env *stream.Env, seed, records int, rate, skew float64, output string) {
	witness := env.ArgOr("witness", "")
	numbers := stream.FromFunc(env, "numbers", func(ctx *stream.Context, emit func(Row)) error {
		for i := range uint64(records) {
			emit(Row{i, 1})
		}
		<-ctx.Done()
		return nil
	}, stream.Unbounded(), stream.Rate(rate), stream.Parallelism(1))
	// The count per key travels with each record, so that state which is lost or restored twice shows.
	spread := slow(stream.Rebalance(numbers), "slow", skew, stream.Parallelism(2))
	keyed := stream.KeyBy(spread, func(r Row) uint64 { return r.Key % 97 })
	if seed%2 == 1 {
		stream.To(witnessed(counting(keyed, "count", stream.Parallelism(2)), witness, stream.Parallelism(2)), "out", file.JSONLines[Row](output))
		return
	}
	counted := stream.Aggregate(keyed, "count", func(n *uint64, _ Row) { *n++ }, func(k, n uint64) Row { return Row{k, n} }, stream.Parallelism(2))
	stream.To(witnessed(counted, witness, stream.Parallelism(2)), "out", file.JSONLines[Row](output))
}

func buildIdle(env *stream.Env) {
	env.SetParallelism(1000)
	stream.To(stream.From(env, "never", generator.Count(1, func(i uint64) Row { return Row{i, 1} })), "out", file.JSONLines[Row](env.Arg("output")))
}

func name(what string, i int) string { return what + " " + string(rune('a'+i)) }
