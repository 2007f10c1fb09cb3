package stream_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
	"github.com/perennial-io/perennial/streamtest"
)

func numbers(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// TestEveryRecordArrivesOnce runs graphs with every kind of edge at several parallelisms.
func TestEveryRecordArrivesOnce(t *testing.T) {
	const n = 20_000
	same := func(i int) int { return i }
	sum := func(s stream.Stream[int]) stream.Stream[int] { // of all, in one subtask, by way of partial sums
		partial := stream.Reduce(stream.KeyBy(s, func(i int) int { return i % 97 }), "partial", func(a, b int) int { return a + b })
		return stream.Reduce(stream.KeyBy(partial, func(int) int { return 0 }), "sum", func(a, b int) int { return a + b })
	}
	const total = n * (n - 1) / 2
	tests := []struct {
		name  string
		build func(stream.Stream[int]) stream.Stream[int]
		want  int
	}{
		{"chain", func(s stream.Stream[int]) stream.Stream[int] { return sum(stream.Map(s, "m", same)) }, total},
		{"rebalance", func(s stream.Stream[int]) stream.Stream[int] {
			return sum(stream.Map(stream.Rebalance(s), "m", same, stream.Parallelism(3)))
		}, total},
		{"broadcast", func(s stream.Stream[int]) stream.Stream[int] {
			return sum(stream.Map(stream.Broadcast(s), "m", same, stream.Parallelism(3)))
		}, 3 * total},
		{"union of a stream, its map and itself", func(s stream.Stream[int]) stream.Stream[int] {
			return sum(stream.Union(s, stream.Map(s, "m", same), stream.Map(s, "other", same, stream.Parallelism(1))))
		}, 3 * total},
		{"branches that change their records", func(s stream.Stream[int]) stream.Stream[int] {
			negative := stream.Map(s, "negative", func(i int) int { return -i })
			double := stream.Map(s, "double", func(i int) int { return 2 * i })
			return sum(stream.Union(negative, double, s))
		}, 2 * total},
		{"many from few", func(s stream.Stream[int]) stream.Stream[int] {
			return sum(stream.FlatMap(s, "f", func(i int, emit func(int)) {
				for range i % 3000 / 2999 * 3000 { // some records emit more than a batch holds
					emit(1)
				}
				emit(i)
			}))
		}, total + 6*3000},
	}
	for _, test := range tests {
		for _, p := range []int{1, 2, 4} {
			got := streamtest.Transform(t, numbers(n), test.build, streamtest.Parallelism(p))
			if !slices.Equal(got, []int{test.want}) {
				t.Errorf("%s, parallelism %d: got %v, want [%d]", test.name, p, got, test.want)
			}
		}
	}
}

// TestKeysKeepTheirOrder: the records of one key arrive in the order in which a subtask sent them.
func TestKeysKeepTheirOrder(t *testing.T) {
	type state struct{ last, disorder int }
	got := streamtest.Transform(t, numbers(50_000), func(s stream.Stream[int]) stream.Stream[int] {
		one := stream.Map(s, "one", func(i int) int { return i }, stream.Parallelism(1))
		return stream.Aggregate(stream.KeyBy(one, func(i int) int { return i % 1000 }), "order",
			func(st *state, i int) {
				if i < st.last {
					st.disorder++
				}
				st.last = i
			},
			func(_ int, st state) int { return st.disorder })
	}, streamtest.Args("-p", "1"))
	if len(got) != 1000 || slices.Max(got) != 0 {
		t.Errorf("%d keys, most disorder in one %d; want 1000 and 0", len(got), slices.Max(got))
	}
}

// TestUpdatesOfUnboundedInput: results come after each record although the input has no end.
func TestUpdatesOfUnboundedInput(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	var results atomic.Int64
	err := stream.Run(ctx, "job", nil, func(env *stream.Env) {
		all := stream.From(env, "all", generator.Unbounded(func(i uint64) uint64 { return i }), stream.Rate(5000))
		counts := stream.Aggregate(stream.KeyBy(all, func(i uint64) uint64 { return i % 3 }), "count",
			func(n *int, _ uint64) { *n++ }, func(_ uint64, n int) int { return n })
		stream.ForEach(counts, "out", func(int) {
			if results.Add(1) == 100 {
				cancel(enough)
			}
		})
	})
	if !errors.Is(err, enough) {
		t.Errorf("Run = %v, want the cause of its context's end", err)
	}
}

// TestSplitsKnowTheirReaders: an endless generator has a split for each subtask that reads it.
func TestSplitsKnowTheirReaders(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var begun [3]atomic.Bool
	err := stream.Run(ctx, "job", []string{"-p", "3"}, func(env *stream.Env) {
		s := stream.From(env, "in", generator.Unbounded(func(i uint64) uint64 { return i }))
		stream.ToFunc(s, "out", func(ctx *stream.Context) (func(uint64) error, error) {
			return func(uint64) error {
				if begun[ctx.Subtask()].Swap(true); begun[0].Load() && begun[1].Load() && begun[2].Load() {
					cancel()
				}
				return nil
			}, nil
		})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}

func TestFailures(t *testing.T) {
	boom := errors.New("boom")
	in := func(env *stream.Env) stream.Stream[int] { return stream.From(env, "in", slice.Of(numbers(1000)...)) }
	end := func(s stream.Stream[int]) { stream.To(s, "end", discard.All[int]()) }
	failAt := func(i int) error {
		if i == 500 {
			return boom
		}
		return nil
	}
	tests := []struct {
		name  string
		build func(*stream.Env)
		want  []string
	}{
		{"panic in a map", func(env *stream.Env) {
			bad := stream.Map(stream.Map(in(env), "before", func(i int) int { return i }), "bad", func(i int) int { return 1 / (i - 500) })
			end(stream.Map(bad, "after", func(i int) int { return i }))
		}, []string{`operator "bad", subtask `, "panic: runtime error: integer divide by zero", "stream_test.TestFailures", "run_test.go"}},
		{"panic in a keyed verb", func(env *stream.Env) {
			end(stream.Reduce(stream.KeyBy(in(env), func(i int) int { return i & 1 }), "bad", func(int, int) int { panic("no sum") }))
		}, []string{`operator "bad", subtask `, "panic: no sum", "run_test.go"}},
		{"panic in a key", func(env *stream.Env) {
			end(stream.Reduce(stream.KeyBy(in(env), func(int) int { panic("no key") }), "sum", func(a, b int) int { return a + b }))
		}, []string{`operator "sum", subtask `, "panic: no key"}},
		{"error while opening", func(env *stream.Env) {
			end(stream.Apply(in(env), "bad", func(*stream.Context) (func(int, func(int)) error, error) { return nil, boom }))
		}, []string{`operator "bad", subtask `, "boom"}},
		{"error of a record", func(env *stream.Env) {
			end(stream.Apply(in(env), "bad", func(*stream.Context) (func(int, func(int)) error, error) {
				return func(i int, emit func(int)) error { emit(i); return failAt(i) }, nil
			}))
		}, []string{`operator "bad", subtask `, "boom"}},
		{"error of a sink", func(env *stream.Env) {
			stream.ToFunc(in(env), "bad", func(*stream.Context) (func(int) error, error) { return failAt, nil })
		}, []string{`operator "bad", subtask `, "boom"}},
		{"error of a function source", func(env *stream.Env) {
			end(stream.FromFunc(env, "bad", func(_ *stream.Context, emit func(int)) error { emit(1); return boom }))
		}, []string{`operator "bad", subtask 0`, "boom"}},
		{"panic of a function source", func(env *stream.Env) {
			end(stream.FromFunc(env, "bad", func(_ *stream.Context, emit func(int)) error { panic(boom) }))
		}, []string{`operator "bad", subtask 0`, "panic: boom", "run_test.go"}},
		{"error of a source's splits", func(env *stream.Env) { end(stream.From(env, "bad", brokenSource{splits: boom})) },
			[]string{`operator "bad splits", subtask 0`, "boom"}},
		{"error of a source's reader", func(env *stream.Env) { end(stream.From(env, "bad", brokenSource{next: boom})) },
			[]string{`operator "bad", subtask `, "boom"}},
	}
	for _, test := range tests {
		for _, p := range []string{"1", "3"} {
			t.Run(test.name+" "+p, func(t *testing.T) {
				err := streamtest.RunError(t, test.build, streamtest.Args("-p", p))
				if err == nil {
					t.Fatal("the job finished")
				}
				for _, part := range test.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("got %q\nwant it to contain %q", err, part)
					}
				}
			})
		}
	}
}

// TestGoexit: t.FailNow within a function ends that goroutine, and must not hang the job.
func TestGoexit(t *testing.T) {
	inner := &testing.T{}
	err := streamtest.RunError(t, func(env *stream.Env) {
		s := stream.From(env, "in", slice.Of(1, 2, 3))
		stream.ForEach(s, "check", func(int) { inner.FailNow() })
	})
	if err == nil || !strings.Contains(err.Error(), "t.FailNow") || !strings.Contains(err.Error(), `operator "check"`) {
		t.Errorf("got %v", err)
	}
}

// brokenSource is a source of one split, parts of which fail.
type brokenSource struct{ splits, next error }

func (brokenSource) Bounded() bool { return true }
func (b brokenSource) Splits(_ *connector.Context, emit func(connector.Split) error) error {
	if b.splits != nil {
		return b.splits
	}
	return emit(connector.Split{})
}
func (b brokenSource) Open(*connector.Context, connector.Split) (connector.Reader[int], error) {
	return b, nil
}
func (b brokenSource) Next([]int) (int, error) { return 0, b.next }
func (b brokenSource) Ready() <-chan struct{}  { return nil }
func (b brokenSource) Close() error            { return nil }

// TestFunctionSourceIsStopped: one that emits for ever, and looks at nothing, ends with the job.
func TestFunctionSourceIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	deferred := make(chan struct{})
	err := stream.Run(ctx, "job", nil, func(env *stream.Env) {
		s := stream.FromFunc(env, "endless", func(_ *stream.Context, emit func(int)) error {
			defer close(deferred)
			for i := 0; ; i++ {
				emit(i)
			}
		}, stream.Unbounded())
		stream.ForEach(s, "out", func(i int) {
			if i == 10_000 {
				cancel()
			}
		})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	<-deferred
}

// TestRate: with virtual time, n records at a rate take n/rate seconds.
func TestRate(t *testing.T) {
	for _, p := range []string{"1", "2"} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			err := stream.Run(t.Context(), "job", []string{"-p", p}, func(env *stream.Env) {
				s := stream.From(env, "in", slice.Of(numbers(10_000)...), stream.Rate(1000))
				stream.To(s, "out", discard.All[int]())
			})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
				t.Errorf("parallelism %s: 10000 records at 1000/s took %v", p, took)
			}
		})
	}
}

// TestSlowStreamIsNotHeldBack: a record crosses two exchanges in a few buffer timeouts although
// no batch is ever full.
func TestSlowStreamIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var worst time.Duration
		err := stream.Run(t.Context(), "job", nil, func(env *stream.Env) {
			s := stream.FromFunc(env, "in", func(_ *stream.Context, emit func(time.Time)) error {
				for range 20 {
					emit(time.Now())
					time.Sleep(time.Second) // virtual
				}
				return nil
			})
			s = stream.Map(stream.Rebalance(s), "m", func(at time.Time) time.Time { return at }, stream.Parallelism(2))
			stream.ForEach(s, "out", func(at time.Time) { worst = max(worst, time.Since(at)) })
		})
		if err != nil {
			t.Fatal(err)
		}
		if worst > 25*time.Millisecond {
			t.Errorf("a record took %v, want at most two buffer timeouts of 10ms", worst)
		}
	})
}

// TestContext: a function learns where it runs, and its context ends with its subtask.
func TestContext(t *testing.T) {
	ended := make(chan struct{}, 2)
	err := stream.Run(t.Context(), "job", []string{"--who", "me"}, func(env *stream.Env) {
		env.Arg("who")
		s := stream.From(env, "in", slice.Of(1))
		stream.ToFunc(s, "out", func(ctx *stream.Context) (func(int) error, error) {
			context.AfterFunc(ctx, func() { ended <- struct{}{} })
			dir, _ := os.Getwd()
			if ctx.Operator() != "out" || ctx.Parallelism() != 2 || ctx.Subtask() > 1 || ctx.Arg("who") != "me" ||
				ctx.Attempt() != 1 || len(ctx.JobID()) != 32 || ctx.Path("x") != filepath.Join(dir, "x") || ctx.Logger() == nil {
				t.Errorf("the context tells %q %d/%d %q attempt %d job %q path %q", ctx.Operator(), ctx.Subtask(),
					ctx.Parallelism(), ctx.Arg("who"), ctx.Attempt(), ctx.JobID(), ctx.Path("x"))
			}
			return func(int) error { return nil }, nil
		}, stream.Parallelism(2))
	})
	if err != nil {
		t.Fatal(err)
	}
	<-ended // AfterFunc runs in a goroutine of its own
	<-ended
}

// TestOutputs: files become visible when the job has finished, and none stays when it fails.
func TestOutputs(t *testing.T) {
	for _, fail := range []bool{false, true} {
		dir := t.TempDir()
		err := stream.Run(t.Context(), "job", []string{"-p", "2"}, func(env *stream.Env) {
			s := stream.From(env, "in", slice.Of(numbers(100)...))
			stream.To(s, "out", fileSink{dir})
			slow := stream.Map(s, "slow", func(i int) int { return i }, stream.Parallelism(1))
			stream.ToFunc(slow, "fails", func(*stream.Context) (func(int) error, error) {
				return func(i int) error {
					if fail && i == 99 {
						return errors.New("too late")
					}
					return nil
				}, nil
			})
		})
		if (err != nil) != fail {
			t.Errorf("fail %t: Run = %v", fail, err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		if want := map[bool]int{false: 2, true: 0}[fail]; len(files) != want {
			t.Errorf("fail %t: files %v, want %d", fail, files, want)
		}
	}
}

// fileSink writes an empty file per subtask.
type fileSink struct{ dir string }

func (s fileSink) Open(ctx *connector.Context) (connector.SinkWriter[int], error) {
	name := filepath.Join(s.dir, string(rune('a'+ctx.Subtask())))
	return fileWriter{connector.Output{Temp: name + ".tmp", Final: name}}, os.WriteFile(name+".tmp", nil, 0o600)
}

type fileWriter struct{ out connector.Output }

func (w fileWriter) Write([]int) error                    { return nil }
func (w fileWriter) Flush() error                         { return nil }
func (w fileWriter) Prepare() ([]connector.Output, error) { return nil, nil }
func (w fileWriter) Finish() ([]connector.Output, error)  { return []connector.Output{w.out}, nil }
func (w fileWriter) Abort() error                         { return os.Remove(w.out.Temp) }

type exitsInAbort struct{}

func (exitsInAbort) Open(*connector.Context) (connector.SinkWriter[int], error) {
	return exitsInAbort{}, nil
}
func (exitsInAbort) Write([]int) error                    { return errors.New("disk full") }
func (exitsInAbort) Flush() error                         { return nil }
func (exitsInAbort) Prepare() ([]connector.Output, error) { return nil, nil }
func (exitsInAbort) Finish() ([]connector.Output, error)  { return nil, nil }
func (exitsInAbort) Abort() error                         { runtime.Goexit(); return nil }

// TestGoexitInAbort: the subtask whose sink ends its goroutine as it cleans up still reports its end.
func TestGoexitInAbort(t *testing.T) {
	err := streamtest.RunError(t, func(env *stream.Env) {
		stream.To(stream.From(env, "in", slice.Of(1)), "out", connector.Sink[int](exitsInAbort{}))
	})
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("%v, want the failure that came first", err)
	}
}
