package task_test

import (
	"context"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/boottime"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/task"
)

// taker notes when each batch began, and takes its time.
type taker struct {
	began chan<- time.Time
	takes time.Duration
}

func (k taker) Batch([]int) error {
	k.began <- time.Now()
	<-time.After(k.takes)
	return nil
}
func (k taker) Event(record.Event) error { return nil }
func (k taker) End() error               { return nil }

// numbered is the plan of a job that lists 20 numbers at once, a batch each, for a consumer in another subtask.
func numbered(began chan<- time.Time) *operator.Plan {
	p := held(nil)
	ints := operator.CarrierOf[int]()
	p.Heads[0] = &operator.Node{Name: "produce", Out: ints, Edges: []int{0}, Read: func(w *operator.Wiring, _, out any) (operator.Driver, error) {
		list := func(_ context.Context, emit func(int) error) error {
			for i := range 20 {
				if err := emit(i); err != nil {
					return err
				}
			}
			return nil
		}
		return operator.NewSplits(w, "produce", list, out.(operator.Receiver[int])), nil
	}}
	p.Heads[1] = &operator.Node{Name: "consume", Chain: func(*operator.Wiring, any) (any, error) { return taker{began, 300 * time.Millisecond}, nil }}
	return p
}

// TestLeaseStopsSubtasks: once the lease is over no subtask begins a batch, also of what is on its way to it already, until it is renewed;
// then all goes on where it stood, and nothing is missing.
func TestLeaseStopsSubtasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		began := make(chan time.Time, 100)
		lease := task.NewLease(time.Second, func() time.Duration { return time.Since(start) })
		var s states
		x, err := task.Start(t.Context(), numbered(began), task.Assignment{Slots: []int{0}, Report: s.report, Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		s.expect(t, "while the lease is over", job.Running, job.Running)
		if n := len(began); n != 4 { // at 0, 0.3, 0.6 and 0.9 s
			t.Errorf("%d batches were begun in a lease of 1 s, want 4", n)
		}
		lease.Renew(10500 * time.Millisecond)
		<-time.After(10 * time.Second)
		if n := len(began); n != 6 { // and at 10 and 10.3 s
			t.Errorf("%d batches were begun in two leases, want 6", n)
		}
		lease.Renew(time.Hour)
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
		s.expect(t, "at the end", job.Finished, job.Finished)
		close(began)
		n := 0
		for at := range began {
			n++
			if since := at.Sub(start); since >= time.Second && since < 10*time.Second || since >= 10500*time.Millisecond && since < 20*time.Second {
				t.Errorf("a batch was begun after %v, without a lease", since)
			}
		}
		if n != 20 {
			t.Errorf("%d batches came, want 20", n)
		}
	})
}

// slow is a step that takes two seconds for each batch, and for the end, before it hands them on: as if the process were stopped for
// that long (SIGSTOP) while it has them in hand.
type slow struct{ out operator.Receiver[int] }

func (s slow) Batch(records []int) error {
	<-time.After(2 * time.Second)
	return s.out.Batch(records)
}
func (s slow) Event(e record.Event) error { return s.out.Event(e) }
func (s slow) End() error                 { <-time.After(2 * time.Second); return s.out.End() }

// writer notes what is asked of it.
type writer struct{ said chan<- string }

func (w writer) Write([]int) error              { w.said <- "write"; return nil }
func (w writer) Flush() error                   { w.said <- "flush"; return nil }
func (w writer) Prepare() ([]job.Output, error) { return nil, nil }
func (w writer) Finish() ([]job.Output, error)  { w.said <- "finish"; return nil, nil }
func (w writer) Abort() error                   { return nil }

// TestNothingBeginsWithoutALease: the batch in hand is finished, and the end, and no more. Not even what a subtask begins with, as
// user code opens something there, is done without a lease; nor is a flush due, or the end of a sink, after a step in which it ran out.
func TestNothingBeginsWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, said := time.Now(), make(chan string, 100)
		expect := func(when, want string) {
			t.Helper()
			<-time.After(10 * time.Second)
			var got []string
			for len(said) > 0 {
				got = append(got, <-said)
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		p := held(nil)
		ints := operator.CarrierOf[int]()
		sink := &operator.Node{Name: "sink", Chain: func(w *operator.Wiring, _ any) (any, error) {
			said <- "open"
			return operator.Sink(w, "sink", writer{said}, time.Second), nil
		}}
		p.Heads[1] = &operator.Node{Name: "slow", Out: ints, Next: []*operator.Node{sink}, Chain: func(_ *operator.Wiring, out any) (any, error) {
			return slow{out.(operator.Receiver[int])}, nil
		}}
		lease := task.NewLease(0, func() time.Duration { return time.Since(start) })
		x, err := task.Start(t.Context(), p, task.Assignment{Slots: []int{0}, Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		forASecond := func() { lease.Renew(time.Since(start) + time.Second) }
		expect("before the first lease", "")
		forASecond()
		expect("it ran out during a batch", "open write")
		forASecond()
		expect("it ran out during the end", "flush")
		forASecond()
		expect("the third", "finish")
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestCancelWithoutALease: subtasks that stand still are cancelled like any other.
func TestCancelWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var s states
		lease := task.NewLease(0, func() time.Duration { return 1 })
		x, err := task.Start(ctx, numbered(nil), task.Assignment{Slots: []int{0}, Report: s.report, Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.expect(t, "before", "", "")
		cancel()
		if x.Wait() == nil {
			t.Error("it ended well")
		}
		s.expect(t, "after", job.Canceled, job.Canceled)
	})
}

// numbersOf reads n numbers.
type numbersOf struct{ next, n uint64 }

func (r *numbersOf) Next(dst []uint64) (int, error) {
	k := int(min(r.n-r.next, uint64(len(dst))))
	for i := range dst[:k] {
		dst[i] = r.next + uint64(i)
	}
	if r.next += uint64(k); r.next == r.n {
		return k, io.EOF
	}
	return k, nil
}
func (r *numbersOf) Ready() <-chan struct{} { return nil }
func (r *numbersOf) Close() error           { return nil }

// adder adds what comes.
type adder struct{ sum uint64 }

func (a *adder) Batch(records []uint64) error {
	for _, r := range records {
		a.sum += r
	}
	return nil
}
func (a *adder) Event(record.Event) error { return nil }
func (a *adder) End() error               { return nil }

// BenchmarkLease is what looking at a lease costs: of numbers that are read, sent to another subtask and added, each subtask looks
// between batches of 1,024. Figures are per record.
func BenchmarkLease(b *testing.B) {
	longs := operator.CarrierOf[uint64]()
	for _, c := range []struct {
		name  string
		lease *task.Lease
	}{{"run", nil}, {"pause", task.NewLease(math.MaxInt64, boottime.Now)}} {
		b.Run(c.name, func(b *testing.B) {
			p := held(nil)
			p.Edges = []operator.Edge{{Carrier: longs, Partition: longs.Forward, Consumer: "consume"}}
			p.Heads[0] = &operator.Node{Name: "produce", Out: longs, Edges: []int{0}, Read: func(w *operator.Wiring, _, out any) (operator.Driver, error) {
				return operator.NewReading(w, operator.Reading[int, uint64]{
					Name: "produce", Bounded: true, Open: func(int) (operator.Reader[uint64], error) { return &numbersOf{n: uint64(b.N)}, nil },
				}, nil, out.(operator.Receiver[uint64])), nil
			}}
			p.Heads[1] = &operator.Node{Name: "consume", Chain: func(*operator.Wiring, any) (any, error) { return &adder{}, nil }}
			x, err := task.Start(b.Context(), p, task.Assignment{Slots: []int{0}, Lease: c.lease})
			if err == nil {
				err = x.Wait()
			}
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
