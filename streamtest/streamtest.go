package streamtest

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

// Option changes how a job is run.
type Option func(*options)

type options struct{ args []string }

// Parallelism runs each operator that does not say otherwise in n subtasks. It is 1 without it.
func Parallelism(n int) Option {
	return Args("-p", strconv.Itoa(n))
}

// Args gives the job arguments, as on its command line.
func Args(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

// Run builds a job and runs it to its end, and fails the test at once if it cannot.
func Run(t testing.TB, build func(env *stream.Env), opts ...Option) {
	t.Helper()
	if err := RunError(t, build, opts...); err != nil {
		t.Fatal(err)
	}
}

// RunError is Run for a job that is expected to fail: it returns what [stream.Run] returns.
// The job is cancelled when the test's context ends.
func RunError(t testing.TB, build func(env *stream.Env), opts ...Option) error {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return stream.Run(t.Context(), t.Name(), o.args, build)
}

// From returns the records as a bounded stream.
func From[T any](env *stream.Env, name string, records []T, opts ...stream.Option) stream.Stream[T] {
	return stream.From(env, name, slice.Of(records...), opts...)
}

// Transform runs a job that consists of what build makes of a stream of the input's records,
// and returns what comes out. The order is that of arrival: to compare it, sort it, unless every
// operator has parallelism 1.
func Transform[T, U any](t testing.TB, input []T, build func(stream.Stream[T]) stream.Stream[U], opts ...Option) []U {
	t.Helper()
	var out *Collected[U]
	Run(t, func(env *stream.Env) { out = Collect(build(From(env, "input", input)), "output") }, opts...)
	return out.Records()
}

// Metric returns what the functions of an operator have counted or measured under a name, in all of its subtasks, and fails the test at once
// if they have made no such metric. m is what Env.Metrics returned when the job was built; it is asked once the job has ended, as a rule.
func Metric(t testing.TB, m *stream.Metrics, operator, name string) stream.Metric {
	t.Helper()
	found, there := m.Find(operator, name)
	if !there {
		t.Fatalf("operator %q has no metric %q", operator, name)
	}
	return found
}

// Collected is what came out of a stream.
type Collected[T any] struct {
	mu      sync.Mutex
	records []T
}

// Collect ends a stream in a sink of the given name that keeps every record.
func Collect[T any](s stream.Stream[T], name string, opts ...stream.Option) *Collected[T] {
	c := &Collected[T]{}
	stream.ForEach(s, name, func(record T) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.records = append(c.records, record)
	}, opts...)
	return c
}

// Records returns what has come out so far, in the order of arrival. Once the job has ended that
// is everything.
func (c *Collected[T]) Records() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.records)
}
