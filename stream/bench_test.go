//go:build unix

package stream_test

import (
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// event is a record of 56 bytes.
type event struct{ ID, Key, Value, A, B, C, D uint64 }

func fill(i uint64, e *event) {
	e.ID, e.Key, e.Value, e.A, e.B, e.C, e.D = i, mix(i), i&1023, i+1, i+2, i+3, i+4
}

// events is a source of n events in one split, which writes them where they are wanted.
type events uint64

func (n events) Bounded() bool { return true }

func (n events) Splits(ctx *connector.Context, emit func(connector.Split) error) error {
	return connector.Ranges(ctx, int64(n), emit)
}

func (n events) Open(_ *connector.Context, s connector.Split) (connector.Reader[event], error) {
	return &eventReader{uint64(s.From), uint64(s.To)}, nil
}

type eventReader struct{ next, end uint64 }

func (r *eventReader) Next(dst []event) (int, error) {
	n := int(min(r.end-r.next, uint64(len(dst))))
	for i := range dst[:n] {
		fill(r.next+uint64(i), &dst[i])
	}
	r.next += uint64(n)
	if r.next == r.end {
		return n, io.EOF
	}
	return n, nil
}

func (r *eventReader) Ready() <-chan struct{} { return nil }
func (r *eventReader) Close() error           { return nil }

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func addOne(e *event)    { e.Value++ }
func keep(e *event) bool { return e.Key&7 != 0 }
func fold(e *event)      { e.A += e.Value }

var checksum uint64

// BenchmarkLoop is the work of BenchmarkChain as a plain loop.
func BenchmarkLoop(b *testing.B) {
	perCPUSecond(b, func(n uint64) {
		var e event
		for i := range n {
			fill(i, &e)
			addOne(&e)
			if keep(&e) {
				fold(&e)
				checksum += e.A
			}
		}
	})
}

// BenchmarkChain is a fused chain of three operators.
func BenchmarkChain(b *testing.B) {
	perCPUSecond(b, func(n uint64) {
		runBench(b, func(env *stream.Env) {
			s := stream.From(env, "source", events(n))
			s = stream.Modify(s, "one", addOne)
			s = stream.Retain(s, "keep", keep)
			s = stream.Modify(s, "fold", fold)
			stream.To(s, "discard", discard.All[event]())
		})
	})
}

// BenchmarkApply is a function that is called for each record, and the same with a counter of its own: what that costs.
func BenchmarkApply(b *testing.B) {
	for name, counts := range map[string]bool{"plain": false, "counting": true} {
		b.Run(name, func(b *testing.B) {
			perCPUSecond(b, func(n uint64) {
				runBench(b, func(env *stream.Env) {
					s := stream.From(env, "source", events(n))
					s = stream.Apply(s, "one", func(ctx *stream.Context) (func(event, func(event)) error, error) {
						taken := ctx.Counter("taken")
						return func(e event, emit func(event)) error {
							if counts {
								taken.Inc()
							}
							emit(e)
							return nil
						}, nil
					})
					stream.To(s, "discard", discard.All[event]())
				})
			})
		})
	}
}

// BenchmarkExchange sends records by key between two subtasks.
func BenchmarkExchange(b *testing.B) {
	perCPUSecond(b, func(n uint64) {
		runBench(b, func(env *stream.Env) {
			s := stream.From(env, "source", events(n))
			kept := stream.Aggregate(stream.KeyBy(s, func(e event) uint64 { return e.Key & 1 }), "sum",
				func(sum *uint64, e event) { *sum += e.Value }, func(_ uint64, sum uint64) uint64 { return sum })
			stream.To(kept, "discard", discard.All[uint64]())
		}, "-p", "2")
	})
}

// BenchmarkKeyedCount counts records of a million keys.
func BenchmarkKeyedCount(b *testing.B) {
	perCPUSecond(b, func(n uint64) {
		runBench(b, func(env *stream.Env) {
			s := stream.From(env, "source", generator.Count(n, func(i uint64) uint64 { return mix(i) % 1_000_000 }))
			counts := stream.Aggregate(stream.KeyBy(s, func(k uint64) uint64 { return k }), "count",
				func(n *uint64, _ uint64) { *n++ }, func(_ uint64, n uint64) uint64 { return n })
			stream.To(counts, "discard", discard.All[uint64]())
		}, "-p", "2")
	})
}

func runBench(b *testing.B, build func(*stream.Env), args ...string) {
	if err := stream.Run(b.Context(), "bench", args, build); err != nil {
		b.Fatal(err)
	}
}

// perCPUSecond runs f over b.N thousand records and reports records per CPU-second of the
// whole process, and mallocs per record.
func perCPUSecond(b *testing.B, f func(n uint64)) {
	n := uint64(b.N) * 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	b.ResetTimer()
	f(n)
	b.StopTimer()
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(n)/cpu.Seconds()/1e6, "Mrec/cpu-s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "mallocs/rec")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
