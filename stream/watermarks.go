package stream

import (
	"time"

	"github.com/perennial-io/perennial/internal/operator"
)

// Watermarks says what event time the records of a stream have, and how far behind the latest so far one may
// come: so every operator behind knows how far event time has come, and its event-time timers fire. A watermark is
// sent at most every 100 ms; those of before are dropped. An operator's watermark is the lowest of
// all subtasks that send to it: one that gets no records, and has not ended, holds back event time, unless [Idleness]
// says after how long it is not waited for any more.
//
// Records that come later than lateness are handed on like all others, and so are those that an idle subtask brings
// when event time has gone on without it: Operator.Watermark tells an operator that they are late.
func Watermarks[T any](s Stream[T], name string, at func(record T) time.Time, lateness time.Duration, opts ...Option) Stream[T] {
	times := operator.Times[T]{
		At:       func(record *T) int64 { return at(*record).UnixMilli() },
		Lateness: int64((lateness + time.Millisecond - 1) / time.Millisecond),
		Idleness: newOptions(opts).idleness,
	}
	n := stepNode(kindWatermarks, name, func(w *operator.Wiring, out operator.Receiver[T]) (operator.Receiver[T], error) {
		return operator.Watermarks(w, name, times, out), nil
	})
	out := next[T, T](s, n, opts)
	if at == nil {
		out.env.errorf("operator %q: it has no function that tells the times of records", name)
	}
	if lateness < 0 {
		out.env.errorf("operator %q: lateness %v: expected 0 or more", name, lateness)
	}
	return out
}
