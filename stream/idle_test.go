package stream_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/stream"
)

// silences is a job of a source that has records all the time, and one that is silent for longer than that runs. What is
// counted waits for event time. Every timer that fires before the end of the input adds to early.
func silences(early *atomic.Int64) func(*stream.Env) {
	return func(env *stream.Env) {
		records, rate := env.IntArg("records"), env.FloatArgOr("rate", 0)
		env.IntArg("seed")
		env.FloatArgOr("skew", 0)
		env.SetParallelism(2)
		busy := stream.From(env, "busy", generator.Count(uint64(records), func(i uint64) chaos.Row { return chaos.Row{Key: i, Value: 1 + i} }), stream.Rate(rate))
		quiet := stream.FromFunc(env, "quiet", func(ctx *stream.Context, emit func(chaos.Row)) error {
			emit(chaos.Row{Key: 1})
			select {
			case <-time.After(20 * time.Second):
			case <-ctx.Done():
			}
			emit(chaos.Row{Key: 2}) // it is late
			return nil
		})
		at := func(r chaos.Row) time.Time { return time.UnixMilli(int64(r.Value)) }
		timed := stream.Union(
			stream.Watermarks(busy, "times", at, 0, stream.Idleness(200*time.Millisecond)),
			stream.Watermarks(quiet, "seldom", at, 0, stream.Idleness(200*time.Millisecond), stream.Parallelism(1)))
		keyed := stream.KeyBy(timed, func(r chaos.Row) uint64 { return r.Key % 97 })
		stream.To(stream.Process(keyed, "waiting", func(op *stream.Operator[uint64, chaos.Row]) func(chaos.Row) error {
			count := stream.NewValue[uint64](op, "count")
			waiting := stream.NewMap[int64, uint64](op, "waiting")
			op.OnEventTimer(func(at time.Time) error {
				if at.UnixMilli() > 1 && !op.Ended() {
					early.Add(1)
				}
				n, _ := waiting.Get(at.UnixMilli())
				op.Emit(chaos.Row{Key: op.Key(), Value: n})
				waiting.Delete(at.UnixMilli())
				return nil
			})
			return func(r chaos.Row) error {
				n, _ := count.Get()
				count.Set(n + 1)
				waiting.Set(at(r).UnixMilli(), n+1)
				op.SetEventTimer(at(r))
				return nil
			}
		}), "out", file.JSONLines[chaos.Row](env.Arg("output")))
	}
}

// TestOracleOfIdleness: event time goes on without the silent source, before a restart as after it, and what comes of it is
// put out once.
func TestOracleOfIdleness(t *testing.T) {
	root, restarts := scratch(t), 0
	for seed := range 12 {
		var early atomic.Int64
		d := draw(seed)
		d.build, d.unbounded, d.full = silences(&early), false, false
		synctest.Test(t, func(t *testing.T) {
			r, err := disturbed(t, filepath.Join(root, strconv.Itoa(seed)), d)
			if err != nil {
				t.Errorf("seed %d: %v\n%s", seed, err, strings.Join(r.Story, "\n"))
			}
			restarts += r.Restarts
		})
		// All but the first in each of the two runs; some need not where the last restart came when all had been read.
		if n := int64(d.records - 1); early.Load() < n+n/2 {
			t.Errorf("seed %d: %d timers fired before the end, of 2 times %d", seed, early.Load(), n)
		}
	}
	if restarts == 0 {
		t.Error("nothing was restarted")
	}
}

// TestQuietSource: with the option event time goes on while a source that has ended nothing is silent; and where each input of
// two is watched so, over an exchange.
func TestQuietSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := make(chan int64, 10)
		err := stream.Run(t.Context(), "quiet", nil, func(env *stream.Env) {
			source := func(name string, last ...int) stream.KeyedStream[int, int] {
				s := stream.FromFunc(env, name, func(ctx *stream.Context, emit func(int)) error {
					for _, n := range last {
						emit(n)
					}
					<-time.After(time.Hour) // of the bubble
					return nil
				})
				at := func(n int) time.Time { return time.UnixMilli(int64(n)) }
				return stream.KeyBy(stream.Watermarks(s, name+" times", at, 0, stream.Idleness(time.Second)), self)
			}
			began := time.Now()
			both := stream.CoProcess(source("busy", 5, 10), source("quiet"), "both", func(op *stream.Operator[int, int]) (func(int) error, func(int) error) {
				op.OnEventTimer(func(time.Time) error {
					fired <- int64(time.Since(began) / time.Second)
					return nil
				})
				f := func(n int) error { op.SetEventTimer(time.UnixMilli(int64(n))); return nil }
				return f, f
			}, stream.Parallelism(2))
			stream.ForEach(both, "out", func(int) {})
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if after := <-fired; after > 2 {
				t.Errorf("a timer fired after %d s: event time had stood still", after)
			}
		}
	})
}
