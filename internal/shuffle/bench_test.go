package shuffle

import (
	"context"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

// event56 is a record of 56 bytes.
type event56 struct{ Key, B, C, D, E, F, G uint64 }

// BenchmarkKeyedExchange has two producers and two consumers exchange records by key. ns/op is per record;
// cpu-ns/op counts all processors.
func BenchmarkKeyedExchange(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkExchange(b, false) })
	b.Run("tcp", func(b *testing.B) { benchmarkExchange(b, true) })
}

func benchmarkExchange(b *testing.B, overTCP bool) {
	const subtasks = 2
	codec, err := record.CodecOf[event56]()
	if err != nil {
		b.Fatal(err)
	}
	var gates [subtasks]*Gate[event56]
	for i := range gates {
		gates[i] = NewGate(subtasks, codec)
	}
	outputs := func(from int) []Output[event56] {
		var outs []Output[event56]
		for _, g := range gates {
			outs = append(outs, LocalOutput(g, from))
		}
		return outs
	}
	if overTCP {
		pair := newPair(b)
		outputs = func(from int) []Output[event56] {
			var outs []Output[event56]
			for to, g := range gates {
				ch := pair.channel(0, from, to)
				BindInput(pair.consumer, ch, g, from)
				outs = append(outs, remote(b, pair, ch, codec))
			}
			return outs
		}
	}
	var writers [subtasks]*Writer[event56]
	for i := range writers {
		hashOf, err := record.HasherOf[uint64]()
		if err != nil {
			b.Fatal(err)
		}
		part := HashBy(func(e event56) uint64 { return e.Key }, hashOf, 128)
		writers[i] = NewWriter(part, outputs(i), WriterConfig{Context: context.Background()})
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { produce56(writers[i], i, b.N/subtasks) })
	}
	var seen [subtasks]uint64
	for i := range gates {
		wg.Go(func() { seen[i] = consume56(gates[i], subtasks) })
	}
	wg.Wait()
	b.StopTimer()
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	n := float64(b.N)
	b.ReportMetric(float64(cpu.Nanoseconds())/n, "cpu-ns/op")
	b.ReportMetric(n/cpu.Seconds()/1e6, "M/cpu-s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "mallocs/op")
	if got, want := seen[0]+seen[1], uint64(b.N/subtasks*subtasks); got != want {
		b.Fatalf("%d records came of %d", got, want)
	}
}

func produce56(w *Writer[event56], from, n int) {
	batch := make([]event56, record.BatchSize[event56]())
	x := uint64(from)*0x9e3779b97f4a7c15 + 1
	for n > 0 {
		k := min(n, len(batch))
		for i := range batch[:k] {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			batch[i] = event56{Key: x, B: x + 1, C: uint64(i)}
		}
		if err := w.Batch(batch[:k]); err != nil {
			panic(err)
		}
		n -= k
	}
	if err := w.End(); err != nil {
		panic(err)
	}
}

func consume56(g *Gate[event56], channels int) (n uint64) {
	var sum uint64
	for item := range g.Items() {
		records, err := item.Records()
		if err != nil {
			panic(err)
		}
		for i := range records {
			sum += records[i].B
		}
		n += uint64(len(records))
		end := item.Event().Kind == record.End
		item.Release()
		if end {
			if channels--; channels == 0 {
				break
			}
		}
	}
	runtime.KeepAlive(sum)
	return n
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
