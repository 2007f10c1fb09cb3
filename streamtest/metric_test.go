package streamtest_test

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/stream"
	"github.com/perennial-io/perennial/streamtest"
)

// measured counts in each of the ways that there are: with a context, with keyed state, at a source and at a sink.
func measured(env *stream.Env) {
	lines := stream.FromFunc(env, "lines", func(ctx *stream.Context, emit func(string)) error {
		read := ctx.Counter("read")
		for _, line := range []string{"a", "bb", "a", "cccc"} {
			read.Inc()
			emit(line)
		}
		return nil
	})
	sized := stream.Apply(stream.Rebalance(lines), "size", func(ctx *stream.Context) (func(string, func(string)) error, error) {
		sizes := ctx.Histogram("size_bytes", 1, 2)
		return func(line string, emit func(string)) error { sizes.Observe(float64(len(line))); emit(line); return nil }, nil
	})
	byLine := stream.KeyBy(sized, func(line string) string { return line })
	firsts := stream.Process(byLine, "firsts", func(op *stream.Operator[string, string]) func(string) error {
		seen, again := stream.NewValue[bool](op, "seen"), op.Counter("again")
		return func(line string) error {
			if was, _ := seen.Get(); was {
				again.Inc()
				return nil
			}
			seen.Set(true)
			op.Emit(line)
			return nil
		}
	})
	stream.ToFunc(firsts, "out", func(ctx *stream.Context) (func(string) error, error) {
		last := ctx.Gauge("last")
		return func(line string) error { last.Add(1); return nil }, nil
	})
}

func TestMetric(t *testing.T) {
	for _, p := range []int{1, 3} {
		var m *stream.Metrics
		streamtest.Run(t, func(env *stream.Env) { measured(env); m = env.Metrics() }, streamtest.Parallelism(p))
		for _, want := range []struct{ operator, metric string }{
			{"lines", "read 4"}, {"size", "size_bytes 8 in 4"}, {"firsts", "again 1"}, {"out", "last 3"},
		} {
			name, _, _ := strings.Cut(want.metric, " ")
			if got := streamtest.Metric(t, m, want.operator, name).String(); got != want.metric {
				t.Errorf("parallelism %d: operator %q: got %s, want %s", p, want.operator, got, want.metric)
			}
		}
		if _, there := m.Find("out", "size_bytes"); there {
			t.Error("found what another operator has")
		}
	}
}

// TestMetricThatCannotBe: the job fails, and says why.
func TestMetricThatCannotBe(t *testing.T) {
	for name, build := range map[string]func(env *stream.Env){
		"while the chain is made": func(env *stream.Env) {
			stream.ToFunc(streamtest.From(env, "in", []int{1}), "out", func(ctx *stream.Context) (func(int) error, error) {
				ctx.Counter("no name")
				return func(int) error { return nil }, nil
			})
		},
		"while the source runs": func(env *stream.Env) {
			in := stream.FromFunc(env, "in", func(ctx *stream.Context, emit func(int)) error {
				ctx.Counter("no name")
				emit(1)
				<-ctx.Done()
				return nil
			})
			streamtest.Collect(in, "out")
		},
	} {
		err := streamtest.RunError(t, build)
		if err == nil || !strings.Contains(err.Error(), `metric "no name": expected a name of a-z`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
