package stream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/stream"
	"github.com/perennial-io/perennial/streamtest"
)

// TestProcessDeadLetters: of a record that fails nothing is emitted, and the others go on.
func TestProcessDeadLetters(t *testing.T) {
	var good *streamtest.Collected[int]
	var bad *streamtest.Collected[stream.DeadLetter[int]]
	streamtest.Run(t, func(env *stream.Env) {
		numbers := make([]int, 5000)
		for i := range numbers {
			numbers[i] = i
		}
		byLast := stream.KeyBy(streamtest.From(env, "numbers", numbers), func(n int) int { return n % 10 })
		var failed stream.Stream[stream.DeadLetter[int]]
		twice := stream.Process(byLast, "twice", func(op *stream.Operator[int, int]) func(int) error {
			return func(n int) error {
				op.Emit(n)
				switch {
				case n%100 == 7:
					return errors.New("seven")
				case n%100 == 8:
					panic("eight")
				}
				op.Emit(n)
				return nil
			}
		}, stream.DeadLetters(&failed))
		good, bad = streamtest.Collect(twice, "good"), streamtest.Collect(failed, "bad")
	}, streamtest.Parallelism(3))
	if len(good.Records()) != 2*4900 || len(bad.Records()) != 100 {
		t.Errorf("%d are good and %d bad, want 9800 and 100", len(good.Records()), len(bad.Records()))
	}
	for _, d := range bad.Records() {
		if slices.Contains(good.Records(), d.Record) {
			t.Errorf("%d failed and was emitted", d.Record)
		}
	}
}

// TestTimersWithoutRecords: timers fire, and what they emit arrives, while no record comes.
func TestTimersWithoutRecords(t *testing.T) {
	var out *streamtest.Collected[int]
	streamtest.Run(t, func(env *stream.Env) {
		once := stream.FromFunc(env, "once", func(ctx *stream.Context, emit func(int)) error {
			emit(1)
			for out == nil || len(out.Records()) < 5 { // without input
				select {
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		again := stream.Process(stream.KeyBy(once, func(n int) int { return n }), "again", func(op *stream.Operator[int, int]) func(int) error {
			op.OnTimer(func(at time.Time) error {
				op.Emit(1)
				op.SetTimer(at.Add(time.Millisecond))
				return nil
			})
			return func(int) error { op.SetTimer(time.Now()); return nil }
		})
		out = streamtest.Collect(stream.Rebalance(again), "out", stream.Parallelism(2))
	})
	if len(out.Records()) < 5 {
		t.Errorf("%d timers have come, want 5", len(out.Records()))
	}
}

// TestStateMisuseFailsTheJob, whatever becomes of records that fail.
func TestStateMisuseFailsTheJob(t *testing.T) {
	err := streamtest.RunError(t, func(env *stream.Env) {
		numbers := stream.KeyBy(streamtest.From(env, "numbers", []int{1}), func(n int) int { return n })
		out := stream.Process(numbers, "timer", func(op *stream.Operator[int, int]) func(int) error {
			return func(int) error { op.SetEventTimer(at("10:00:00")); return nil }
		}, stream.OnError(stream.Skip))
		streamtest.Collect(out, "out")
	})
	if err == nil || !strings.Contains(err.Error(), "OnEventTimer") || !strings.Contains(err.Error(), `"timer"`) {
		t.Errorf("got %v", err)
	}
}
