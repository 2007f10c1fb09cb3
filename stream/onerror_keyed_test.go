package stream_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/state/disk"
	"github.com/perennial-io/perennial/stream"
	"github.com/perennial-io/perennial/streamtest"
)

// adding are what adds up the numbers of each key, its last digit, and fails for bad ones after it has begun. Of the keys
// 10 and 11 the first number, and every one, fails.
var adding = map[string]func(s stream.Stream[int], opts ...stream.Option) stream.Stream[sumOf]{
	"reduce": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[sumOf] {
		sums := stream.Map(s, "sums", func(i int) sumOf { return sumOf{keyOf(i), i} }, stream.Parallelism(1))
		return stream.Reduce(stream.KeyBy(sums, func(s sumOf) int { return s.Key }), "step", func(sum, next sumOf) sumOf {
			sum.Sum += next.Sum / nonZero(next.Sum)
			return sum
		}, opts...)
	},
	"aggregate": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[sumOf] {
		return stream.Aggregate(stream.KeyBy(s, keyOf), "step", func(sum *int, i int) {
			*sum += i
			_ = i / nonZero(i)
		}, func(key, sum int) sumOf { return sumOf{key, sum} }, opts...)
	},
	"result of an aggregate": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[sumOf] {
		return stream.Aggregate(stream.KeyBy(s, keyOf), "step", func(sum *[2]int, i int) { *sum = [2]int{sum[0] + i, i} },
			func(key int, sum [2]int) sumOf { return sumOf{key, sum[0] / nonZero(sum[1])} }, append(opts, stream.Updates())...)
	},
}

type sumOf struct{ Key, Sum int }

func keyOf(i int) int {
	if i == 3 || i == 17 { // both bad
		return 10 + i/17
	}
	return i % 10
}

// TestFailingRecordOfAnAggregate leaves the accumulator what it was, wherever that is kept, and a key that has no
// record but bad ones has none.
func TestFailingRecordOfAnAggregate(t *testing.T) {
	quietly(t)
	const n = 3000
	want, wrong := map[int]int{}, 0
	for _, i := range numbers(n) {
		if bad(i) {
			wrong++
		} else {
			want[keyOf(i)] += i
		}
	}
	for name, verb := range adding {
		for _, stored := range []bool{false, true} {
			for _, opts := range [][]stream.Option{nil, {stream.Updates()}} {
				t.Run(fmt.Sprintf("%s, on disk %t, %d", name, stored, len(opts)), func(t *testing.T) {
					var out *streamtest.Collected[sumOf]
					dead := 0
					streamtest.Run(t, func(env *stream.Env) {
						if stored {
							env.KeepState(disk.Store())
						}
						source := streamtest.From(env, "in", numbers(n), stream.Parallelism(1)) // the first of each key is a good one
						if name == "reduce" {
							out = streamtest.Collect(verb(source, append(opts, stream.OnError(stream.Skip))...), "out")
							return
						}
						var letters stream.Stream[stream.DeadLetter[int]]
						out = streamtest.Collect(verb(source, append(opts, stream.DeadLetters(&letters))...), "out")
						stream.ForEach(letters, "dead", func(stream.DeadLetter[int]) { dead++ }, stream.Parallelism(1))
					}, streamtest.Parallelism(2))
					got := map[int]int{}
					for _, s := range out.Records() {
						got[s.Key] = max(got[s.Key], s.Sum)
					}
					if name == "reduce" { // the first record of a key meets no function
						delete(got, 10)
						delete(got, 11)
					} else if dead != wrong {
						t.Errorf("%d dead letters, want %d", dead, wrong)
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("got  %v\nwant %v", got, want)
					}
				})
			}
		}
	}
}

// twoInputs adds operators of two inputs whose functions fail for bad records.
var twoInputs = map[string]func(a, b stream.Stream[int], opts ...stream.Option) stream.Stream[int]{
	"coprocess": func(a, b stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.CoProcess(stream.KeyBy(a, self), stream.KeyBy(b, self), "step", func(op *stream.Operator[int, int]) (func(int) error, func(int) error) {
			return emitUnlessBad(op), emitUnlessBad(op)
		}, opts...)
	},
	"broadcast": func(a, b stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.ProcessBroadcast(stream.KeyBy(a, self), b, "step", func(op *stream.Operator[int, int]) (func(int) error, func(int) error) {
			return emitUnlessBad(op), emitUnlessBad(op)
		}, append(opts, stream.Parallelism(1))...)
	},
}

func self(i int) int { return i }

func emitUnlessBad(op *stream.Operator[int, int]) func(int) error {
	return func(i int) error {
		op.Emit(i)
		switch {
		case bad(i) && i%2 == 0:
			panic("even")
		case bad(i):
			return errors.New("odd")
		}
		return nil
	}
}

// TestFailingRecordsOfTwoInputs: each input has its own dead letters, in the order of the inputs.
func TestFailingRecordsOfTwoInputs(t *testing.T) {
	quietly(t)
	const n = 2000
	var good, wrong []int
	for _, i := range numbers(n) {
		if bad(i) {
			wrong = append(wrong, i)
		} else {
			good = append(good, i)
		}
	}
	for name, verb := range twoInputs {
		t.Run(name, func(t *testing.T) {
			var out *streamtest.Collected[int]
			var dead [2]*streamtest.Collected[int]
			streamtest.Run(t, func(env *stream.Env) {
				var letters [2]stream.Stream[stream.DeadLetter[int]]
				a, b := streamtest.From(env, "a", numbers(n)), streamtest.From(env, "b", numbers(n/2))
				out = streamtest.Collect(verb(a, b, stream.DeadLetters(&letters[0]), stream.DeadLetters(&letters[1])), "out")
				for i, l := range letters {
					records := stream.Map(l, fmt.Sprint("records ", i), func(d stream.DeadLetter[int]) int { return d.Record })
					dead[i] = streamtest.Collect(records, fmt.Sprint("dead ", i))
				}
			}, streamtest.Parallelism(2))
			same(t, "dead letters of the first", dead[0].Records(), wrong)
			same(t, "dead letters of the second", dead[1].Records(), slices.DeleteFunc(slices.Clone(wrong), func(i int) bool { return i >= n/2 }))
			both := append(slices.Clone(good), slices.DeleteFunc(slices.Clone(good), func(i int) bool { return i >= n/2 })...)
			slices.Sort(both)
			same(t, "out", out.Records(), both)
		})
		t.Run(name+" skipping", func(t *testing.T) {
			var out *streamtest.Collected[int]
			streamtest.Run(t, func(env *stream.Env) {
				out = streamtest.Collect(verb(streamtest.From(env, "a", numbers(n)), streamtest.From(env, "b", numbers(0)), stream.OnError(stream.Skip)), "out")
			})
			same(t, "out", out.Records(), good)
		})
	}
}

// timing sets a timer for each number, which emits it twice, and fails for bad ones in between.
func timing(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
	return stream.Process(stream.KeyBy(s, self), "step", func(op *stream.Operator[int, int]) func(int) error {
		op.OnEventTimer(func(time.Time) error {
			op.Emit(op.Key())
			switch {
			case bad(op.Key()) && op.Key()%2 == 0:
				panic("even")
			case bad(op.Key()):
				return errors.New("odd")
			}
			op.Emit(op.Key())
			return nil
		})
		return func(i int) error { op.SetEventTimer(time.UnixMilli(int64(i))); return nil }
	}, opts...)
}

// TestFailingTimers: they are skipped, or have dead letters that tell key and time, and of one that failed nothing is
// emitted. What is said of records alone is not said of them.
func TestFailingTimers(t *testing.T) {
	quietly(t)
	const n = 3000
	var good, wrong []int
	for _, i := range numbers(n) {
		if bad(i) {
			wrong = append(wrong, i)
		} else {
			good = append(good, i, i)
		}
	}
	var out *streamtest.Collected[int]
	streamtest.Run(t, func(env *stream.Env) {
		out = streamtest.Collect(timing(streamtest.From(env, "in", numbers(n)), stream.OnError(stream.Skip)), "out")
	}, streamtest.Parallelism(2))
	same(t, "out, skipping", out.Records(), good)

	var dead *streamtest.Collected[stream.DeadLetter[stream.Timer[int]]]
	streamtest.Run(t, func(env *stream.Env) {
		var timers stream.Stream[stream.DeadLetter[stream.Timer[int]]]
		out = streamtest.Collect(timing(streamtest.From(env, "in", numbers(n)), stream.DeadTimers(&timers)), "out")
		dead = streamtest.Collect(timers, "dead", stream.Parallelism(3))
	}, streamtest.Parallelism(2))
	same(t, "out", out.Records(), good)
	var keys []int
	for _, d := range dead.Records() {
		keys = append(keys, d.Record.Key)
		if d.Record.At.UnixMilli() != int64(d.Record.Key) || d.Operator != "step" || !slices.Contains([]string{"odd", "panic: even"}, d.Error) {
			t.Fatalf("got %+v", d)
		}
	}
	same(t, "dead", keys, wrong)

	err := streamtest.RunError(t, func(env *stream.Env) {
		var letters stream.Stream[stream.DeadLetter[int]]
		streamtest.Collect(timing(streamtest.From(env, "in", numbers(n)), stream.DeadLetters(&letters)), "out")
		streamtest.Collect(letters, "dead")
	})
	if err == nil || !strings.Contains(err.Error(), `operator "step"`) || !strings.Contains(err.Error(), "odd") {
		t.Errorf("with dead letters for records alone: got %v", err)
	}
}

// TestKeyIsNoRecordsFailure: a function given to KeyBy fails the job at any parallelism.
func TestKeyIsNoRecordsFailure(t *testing.T) {
	for _, p := range []int{1, 2} {
		err := streamtest.RunError(t, func(env *stream.Env) {
			keyed := stream.KeyBy(streamtest.From(env, "in", numbers(50)), func(i int) int { return i / nonZero(i) })
			out := stream.Process(keyed, "step", func(op *stream.Operator[int, int]) func(int) error { return emitUnlessBad(op) }, stream.OnError(stream.Skip))
			streamtest.Collect(out, "out")
		}, streamtest.Parallelism(p))
		if err == nil || !strings.Contains(err.Error(), "integer divide by zero") {
			t.Errorf("parallelism %d: got %v", p, err)
		}
	}
}

// failures is a job whose records and timers fail here and there, in operators of every keyed kind. Everything that
// becomes of them is put out.
func failures(env *stream.Env) {
	records, rate := env.IntArg("records"), env.FloatArgOr("rate", 0)
	env.FloatArgOr("skew", 0)
	env.SetParallelism(2)
	if env.IntArg("seed")%2 == 1 {
		env.KeepState(disk.Store())
	}
	row := func(i uint64) chaos.Row { return chaos.Row{Key: i, Value: i} }
	left := stream.From(env, "left", generator.Count(uint64(records), row), stream.Rate(rate))
	right := stream.From(env, "right", generator.Count(uint64(records), row), stream.Rate(rate))
	by := func(r chaos.Row) uint64 { return r.Key % 101 }
	var ofLeft, ofRight, ofSum stream.Stream[stream.DeadLetter[chaos.Row]]
	var timers stream.Stream[stream.DeadLetter[stream.Timer[uint64]]]
	counted := stream.CoProcess(stream.KeyBy(left, by), stream.KeyBy(right, by), "counted",
		func(op *stream.Operator[uint64, chaos.Row]) (func(chaos.Row) error, func(chaos.Row) error) {
			count := stream.NewValue[uint64](op, "count")
			op.OnEventTimer(func(at time.Time) error {
				op.Emit(chaos.Row{Key: 1_000_000 + op.Key(), Value: uint64(at.UnixMilli())})
				if op.Key()%3 == 1 {
					return errors.New("a third of all timers")
				}
				return nil
			})
			add := func(of uint64) func(r chaos.Row) error {
				return func(r chaos.Row) error {
					n, _ := count.Get()
					op.Emit(chaos.Row{Key: op.Key(), Value: n + 1})
					if r.Value%11 == of {
						panic("every eleventh")
					}
					count.Set(n + 1)
					op.SetEventTimer(time.UnixMilli(int64(of)))
					return nil
				}
			}
			return add(1), add(2)
		}, stream.DeadLetters(&ofLeft), stream.DeadLetters(&ofRight), stream.DeadTimers(&timers))
	sums := stream.Aggregate(stream.KeyBy(counted, func(r chaos.Row) uint64 { return r.Key % 7 }), "sum", func(n *uint64, r chaos.Row) {
		*n++
		if r.Value%13 == 1 {
			panic("every thirteenth")
		}
	}, func(key, n uint64) chaos.Row { return chaos.Row{Key: 2_000_000 + key, Value: n} }, stream.Updates(), stream.DeadLetters(&ofSum))
	all := []stream.Stream[chaos.Row]{sums, stream.Map(timers, "timers", func(d stream.DeadLetter[stream.Timer[uint64]]) chaos.Row {
		return chaos.Row{Key: 3_000_000 + d.Record.Key, Value: uint64(d.Record.At.UnixMilli())}
	})}
	for i, letters := range []stream.Stream[stream.DeadLetter[chaos.Row]]{ofLeft, ofRight, ofSum} {
		all = append(all, stream.Map(letters, fmt.Sprint("letters ", i), func(d stream.DeadLetter[chaos.Row]) chaos.Row {
			return chaos.Row{Key: uint64(4_000_000 + i), Value: d.Record.Value}
		}))
	}
	stream.To(stream.Union(all...), "out", file.JSONLines[chaos.Row](env.Arg("output")))
}

// TestOracleOfFailures: whatever dies meanwhile, each record and timer that fails has one dead letter, and no trace in
// the state of an aggregate.
func TestOracleOfFailures(t *testing.T) {
	quietly(t)
	root, restarts := scratch(t), 0
	for seed := range 12 {
		d := draw(seed)
		d.build, d.unbounded, d.full = failures, false, false
		synctest.Test(t, func(t *testing.T) {
			r, err := disturbed(t, filepath.Join(root, strconv.Itoa(seed)), d)
			if err != nil {
				t.Errorf("seed %d: %v\n%s", seed, err, strings.Join(r.Story, "\n"))
			}
			restarts += r.Restarts
		})
	}
	if restarts == 0 {
		t.Error("nothing was restarted")
	}
}
