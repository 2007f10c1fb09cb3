package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/stream"
	"github.com/perennial-io/perennial/streamtest"
)

func bad(i int) bool { return i%7 == 3 }

// failing is what makes an operator of each verb fail for bad records and hand on the others once.
var failing = map[string]func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int]{
	"map": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.Map(s, "step", func(i int) int { return i / nonZero(i) }, opts...)
	},
	"map to another type": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		text := stream.Map(s, "step", func(i int) string { return fmt.Sprint(i / nonZero(i)) }, opts...)
		return stream.Map(text, "back", func(s string) int { var i int; _, _ = fmt.Sscan(s, &i); return i })
	},
	"modify": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.Modify(s, "step", func(i *int) { n := *i; *i = -1; *i = n / nonZero(n) }, opts...)
	},
	"filter": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.Filter(s, "step", func(i int) bool { return i/nonZero(i) >= 0 }, opts...)
	},
	"retain": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.Retain(s, "step", func(i *int) bool { n := *i; *i = -1; *i = n / nonZero(n); return true }, opts...)
	},
	"flatmap": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.FlatMap(s, "step", func(i int, emit func(int)) { emit(i); _ = i / nonZero(i) }, opts...)
	},
	"apply": func(s stream.Stream[int], opts ...stream.Option) stream.Stream[int] {
		return stream.Apply(s, "step", func(*stream.Context) (func(int, func(int)) error, error) {
			return func(i int, emit func(int)) error {
				emit(i)
				if bad(i) {
					return errors.New("integer divide by zero")
				}
				return nil
			}, nil
		}, opts...)
	},
}

// nonZero is 1, or 0 for a bad record.
func nonZero(i int) int {
	if bad(i) {
		return 0
	}
	return 1
}

// TestFailingRecords: whatever the verb, all good records arrive once, and of the bad ones nothing but,
// where that was asked for, one dead letter each.
func TestFailingRecords(t *testing.T) {
	quietly(t)
	const n = 5000
	var good, wrong []int
	for _, i := range numbers(n) {
		if bad(i) {
			wrong = append(wrong, i)
		} else {
			good = append(good, i)
		}
	}
	for name, verb := range failing {
		for _, p := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s skipping x%d", name, p), func(t *testing.T) {
				var out *streamtest.Collected[int]
				streamtest.Run(t, func(env *stream.Env) {
					out = streamtest.Collect(verb(streamtest.From(env, "in", numbers(n)), stream.OnError(stream.Skip)), "out")
				}, streamtest.Parallelism(p))
				same(t, "out", out.Records(), good)
			})
			t.Run(fmt.Sprintf("%s with dead letters x%d", name, p), func(t *testing.T) {
				var out *streamtest.Collected[int]
				var dead *streamtest.Collected[stream.DeadLetter[int]]
				streamtest.Run(t, func(env *stream.Env) {
					var letters stream.Stream[stream.DeadLetter[int]]
					out = streamtest.Collect(verb(streamtest.From(env, "in", numbers(n)), stream.DeadLetters(&letters)), "out")
					dead = streamtest.Collect(letters, "dead", stream.Parallelism(2)) // by an exchange
				}, streamtest.Parallelism(p))
				same(t, "out", out.Records(), good)
				var records []int
				for _, d := range dead.Records() {
					records = append(records, d.Record)
					if d.Operator != "step" || d.Subtask < 0 || d.Subtask >= p || !strings.Contains(d.Error, "integer divide by zero") {
						t.Fatalf("got %+v", d)
					}
				}
				same(t, "dead", records, wrong)
			})
		}
	}
}

func same(t *testing.T, what string, got, want []int) {
	t.Helper()
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s: %d records, want %d: %.100v", what, len(got), len(want), got)
	}
}

// quietly sends what the test logs elsewhere, and returns where.
func quietly(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

// TestFailingRecordsOfASink: a function that ends a stream has the policies too.
func TestFailingRecordsOfASink(t *testing.T) {
	quietly(t)
	var seen []int
	var dead *streamtest.Collected[stream.DeadLetter[int]]
	streamtest.Run(t, func(env *stream.Env) {
		var letters stream.Stream[stream.DeadLetter[int]]
		stream.ForEach(streamtest.From(env, "in", numbers(20)), "sink", func(i int) { seen = append(seen, i/nonZero(i)) }, stream.DeadLetters(&letters))
		dead = streamtest.Collect(letters, "dead")
	})
	if got := len(dead.Records()); got != 3 || len(seen) != 17 {
		t.Errorf("%d dead letters and %d records, want 3 and 17", got, len(seen))
	}
}

// TestFailureBehind: what fails behind a step that survives fails the job, at its own door.
func TestFailureBehind(t *testing.T) {
	quietly(t)
	err := streamtest.RunError(t, func(env *stream.Env) {
		first := stream.FlatMap(streamtest.From(env, "in", numbers(5000)), "first", func(i int, emit func(int)) { emit(i) }, stream.OnError(stream.Skip))
		stream.To(stream.Map(first, "second", func(i int) int { return i / nonZero(i) }), "out", discard.All[int]())
	})
	if err == nil || !strings.Contains(err.Error(), `operator "second", subtask 0: panic: runtime error: integer divide by zero`) {
		t.Errorf("got %v", err)
	}
	err = streamtest.RunError(t, func(env *stream.Env) {
		var letters stream.Stream[stream.DeadLetter[int]]
		first := failing["map"](streamtest.From(env, "in", numbers(50)), stream.DeadLetters(&letters))
		stream.To(first, "out", discard.All[int]())
		stream.ForEach(letters, "letters", func(stream.DeadLetter[int]) { panic("no more") })
	})
	if err == nil || !strings.Contains(err.Error(), `operator "letters", subtask 0: panic: no more`) {
		t.Errorf("got %v", err)
	}
}

// TestGoexitIsNoRecord: a function that ends its goroutine fails the job whatever the policy.
func TestGoexitIsNoRecord(t *testing.T) {
	err := streamtest.RunError(t, func(env *stream.Env) {
		s := stream.Map(streamtest.From(env, "in", numbers(5)), "exits", func(i int) int { runtime.Goexit(); return i }, stream.OnError(stream.Skip))
		stream.To(s, "out", discard.All[int]())
	})
	if err == nil || !strings.Contains(err.Error(), `operator "exits"`) || !strings.Contains(err.Error(), "Goexit") {
		t.Errorf("got %v", err)
	}
}

// TestStoppedIsNoFailure: a function that waits, and ends with an error when its context does, has not
// made its record fail: that is not given up.
func TestStoppedIsNoFailure(t *testing.T) {
	log := quietly(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dead := 0
		done := make(chan error, 1)
		go func() {
			done <- stream.Run(ctx, "waits", nil, func(env *stream.Env) {
				var letters stream.Stream[stream.DeadLetter[int]]
				s := stream.Apply(streamtest.From(env, "in", numbers(5)), "waits", func(ctx *stream.Context) (func(int, func(int)) error, error) {
					return func(int, func(int)) error { <-ctx.Done(); return ctx.Err() }, nil
				}, stream.DeadLetters(&letters))
				stream.To(s, "out", discard.All[int]())
				stream.ForEach(letters, "letters", func(stream.DeadLetter[int]) { dead++ })
			})
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || dead > 0 {
			t.Errorf("got %v, and %d dead letters", err, dead)
		}
	})
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
}

// TestFailuresAreToldRarely: the first is logged, with its stack, and no more for a minute.
func TestFailuresAreToldRarely(t *testing.T) {
	log := quietly(t)
	streamtest.Run(t, func(env *stream.Env) {
		stream.To(failing["map"](streamtest.From(env, "in", numbers(5000)), stream.OnError(stream.Skip)), "out", discard.All[int]())
	})
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "operator=step subtask=0") || !strings.Contains(log.String(), "onerror_test.go") {
		t.Errorf("%d lines were logged:\n%s", lines, log)
	}
}
