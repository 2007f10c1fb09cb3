package shuffle

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

func codecOf[T any](t testing.TB) *record.Codec[T] {
	t.Helper()
	c, err := record.CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// local returns n gates of one channel, and outputs to them.
func local[T any](t testing.TB, n int) (gates []*Gate[T], outs []Output[T]) {
	t.Helper()
	for range n {
		g := NewGate(1, codecOf[T](t))
		gates, outs = append(gates, g), append(outs, LocalOutput(g, 0))
	}
	return gates, outs
}

// next returns what a gate has now: a copy of a batch, or an event.
func next[T any](t testing.TB, g *Gate[T]) ([]T, record.Event) {
	t.Helper()
	select {
	case it := <-g.Items():
		defer it.Release()
		records, err := it.Records()
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(records), it.Event()
	default:
		t.Fatal("the gate is empty")
		return nil, record.Event{}
	}
}

func numbersUpTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForward(t *testing.T) {
	gates, outs := local[int](t, 1)
	w := NewWriter(Forward[int](), outs, WriterConfig{Context: t.Context()})
	size := record.BatchSize[int]()
	records := numbersUpTo(size + 10)
	must(t, w.Batch(records))
	records[0] = -1 // the writer must not have kept the slice
	if got, _ := next(t, gates[0]); !reflect.DeepEqual(got, numbersUpTo(size)) {
		t.Errorf("got %v", got)
	}
	must(t, w.Event(record.Event{Kind: record.Watermark, Value: 5}))
	if got, _ := next(t, gates[0]); len(got) != 10 {
		t.Errorf("got %d records before the event, expected 10", len(got))
	}
	if _, e := next(t, gates[0]); e != (record.Event{Kind: record.Watermark, Value: 5}) {
		t.Errorf("got %v", e)
	}
	must(t, w.End())
	if _, e := next(t, gates[0]); e.Kind != record.End {
		t.Errorf("got %v", e)
	}
}

func TestHash(t *testing.T) {
	for _, max := range []int{128, 100} {
		gates, outs := local[int](t, 3)
		hash := func(v int) uint64 { return uint64(v) * 0x9e3779b97f4a7c15 }
		w := NewWriter(HashBy(func(v int) int { return v }, hash, max), outs, WriterConfig{Context: t.Context()})
		records := numbersUpTo(500)
		must(t, w.Batch(records))
		must(t, w.End())
		total := 0
		for i, g := range gates {
			got, _ := next(t, g)
			total += len(got)
			for j, v := range got {
				if j > 0 && got[j-1] >= v {
					t.Errorf("output %d: %d after %d", i, v, got[j-1])
				}
				if want := record.Owner(record.KeyGroup(hash(v), max), max, 3); want != i {
					t.Errorf("%d went to %d, expected %d", v, i, want)
				}
			}
		}
		if total != len(records) {
			t.Errorf("%d records came", total)
		}
	}
}

func TestBroadcast(t *testing.T) {
	gates, outs := local[int](t, 3)
	w := NewWriter(Broadcast[int](), outs, WriterConfig{Context: t.Context()})
	must(t, w.Batch(numbersUpTo(10)))
	must(t, w.Flush())
	for _, g := range gates {
		it := <-g.Items()
		got, _ := it.Records()
		if !reflect.DeepEqual(got, numbersUpTo(10)) {
			t.Errorf("got %v", got)
		}
		clear(got) // is this output's own copy
	}
}

// TestRebalanceImmediate gives one record at a time to consumers, of which the second is slow.
func TestRebalanceImmediate(t *testing.T) {
	gates, outs := local[int](t, 3)
	w := NewWriter(Rebalance[int](), outs, WriterConfig{Context: t.Context(), Immediate: true})
	must(t, w.Batch(numbersUpTo(3)))
	for i, g := range []*Gate[int]{gates[0], gates[2], gates[0], gates[2], gates[2]} {
		if got, _ := next(t, g); len(got) != 1 {
			t.Fatalf("step %d: got %v", i, got)
		}
		must(t, w.Batch([]int{10 + i})) // there is one consumer with room, and it is not the second
	}
	if got, _ := next(t, gates[1]); !reflect.DeepEqual(got, []int{1}) {
		t.Errorf("the slow consumer got %v", got)
	}
	if _, due := w.Deadline(); due {
		t.Error("nothing is held, and a flush is due")
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, outs := local[int](t, 2)
		hash := func(v int) uint64 { return uint64(v) }
		w := NewWriter(Hash(hash, 2), outs, WriterConfig{Context: t.Context()})
		if _, due := w.Deadline(); due {
			t.Error("a deadline without a record")
		}
		must(t, w.Batch([]int{0}))
		want := time.Now().Add(DefaultTimeout)
		time.Sleep(time.Millisecond) // of the bubble's clock
		must(t, w.Batch([]int{1}))
		if got, due := w.Deadline(); !due || !got.Equal(want) {
			t.Errorf("got %v, %v; expected %v", got, due, want)
		}
		must(t, w.Flush())
		if _, due := w.Deadline(); due {
			t.Error("a deadline after the flush")
		}
	})
}

// TestBackPressure: a writer waits when the consumer does not release, counts the time, and goes on.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gates, outs := local[int](t, 1)
		w := NewWriter(Forward[int](), outs, WriterConfig{Context: ctx, Credits: 2})
		size := record.BatchSize[int]()
		must(t, w.Batch(numbersUpTo(2*size)))
		if w.Blocked() != 0 {
			t.Error("blocked, with two credits for two batches")
		}
		result := make(chan error)
		go func() { result <- w.Batch(numbersUpTo(1)) }()
		time.Sleep(time.Second) // of the bubble's clock: the writer waits
		next(t, gates[0])
		must(t, <-result)
		if got := w.Blocked(); got != time.Second {
			t.Errorf("blocked for %v, expected 1 s", got)
		}
		must(t, w.Flush())
		go func() { result <- w.Batch(numbersUpTo(1)) }()
		synctest.Wait()
		stop := errors.New("stop")
		cancel(stop)
		if err := <-result; !errors.Is(err, stop) {
			t.Errorf("got %v, expected the context's cause", err)
		}
	})
}

// TestCredits: whatever goes through, the buffers are all at home in the end.
func TestCredits(t *testing.T) {
	for name, p := range map[string]Partitioner[string]{
		"hash":      Hash(func(s string) uint64 { return uint64(len(s)) }, 16),
		"rebalance": Rebalance[string](),
		"broadcast": Broadcast[string](),
	} {
		gates, outs := local[string](t, 3)
		w := NewWriter(p, outs, WriterConfig{Context: t.Context(), Credits: MaxCredits})
		done := make(chan int)
		for _, g := range gates {
			go func() { done <- consumeAll(g) }()
		}
		for i := range 2000 {
			must(t, w.Batch([]string{"a", "bcd", "ef", "ghij", ""}))
			if i%500 == 0 {
				must(t, w.Event(record.Event{Kind: record.Watermark, Value: int64(i)}))
			}
		}
		must(t, w.End())
		sum := <-done + <-done + <-done
		if want := map[string]int{"hash": 10000, "rebalance": 10000, "broadcast": 30000}[name]; sum != want {
			t.Errorf("%s: %d records came, expected %d", name, sum, want)
		}
		checkHome(t, name, w)
	}
}

// checkHome checks that every buffer is free, and that no free one refers to a record.
func checkHome(t *testing.T, name string, w *Writer[string]) {
	t.Helper()
	for _, queue := range append(slices.Clone(w.free), w.events...) {
		if len(queue) != cap(queue) {
			t.Errorf("%s: %d of %d buffers are free", name, len(queue), cap(queue))
		}
		for range len(queue) {
			b := <-queue
			for _, s := range b.records[:cap(b.records)] {
				if s != "" {
					t.Fatalf("%s: a free buffer keeps %q", name, s)
				}
			}
		}
	}
}

func consumeAll[T any](g *Gate[T]) (n int) {
	for it := range g.Items() {
		records, _ := it.Records()
		n += len(records)
		end := it.Event().Kind == record.End
		it.Release()
		it.Release() // only the first counts
		if end {
			break
		}
	}
	return n
}
