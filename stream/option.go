package stream

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Option changes how one operator runs.
type Option func(*options)

type options struct {
	parallelism    int
	parallelismSet bool
	updates        bool
	unbounded      bool
	rate           float64
	rateSet        bool
	idleness       time.Duration
	idlenessSet    bool
	onError        ErrorPolicy
	onErrorSet     bool
	deadLetters    []letters // by input; none: no such policy
	deadTimers     []letters // one, or none
	byRecord       bool      // of a sink: it is a function, which fails for a record and not for all
}

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Parallelism says in how many subtasks the operator runs, from 1 to the job's highest (256, or Env.SetMaxParallelism's), whatever the job's
// parallelism is.
func Parallelism(n int) Option {
	return func(o *options) { o.parallelism, o.parallelismSet = n, true }
}

// Updates makes a keyed verb emit the key's new value after each record, also when the input is
// bounded. When some source of its input is unbounded it always does.
func Updates() Option { return func(o *options) { o.updates = true } }

// Unbounded says that the function given to [FromFunc] does not return by itself.
func Unbounded() Option { return func(o *options) { o.unbounded = true } }

// Rate limits a source to so many records per second, over all its subtasks together, each of
// which takes an equal part. 0 is no limit. After a standstill of the job up to a second's worth
// is caught up with.
func Rate(recordsPerSecond float64) Option {
	return func(o *options) { o.rate, o.rateSet = recordsPerSecond, true }
}

// Idleness has a subtask of [Watermarks] that has brought no record for d, at least a millisecond, hold back nobody's
// event time until it brings one. Records that it then brings may be late. Choose d longer than the pauses that are
// usual. A stream whose subtasks are all idle moves event time no further than its latest watermark.
func Idleness(d time.Duration) Option {
	return func(o *options) { o.idleness, o.idlenessSet = d, true }
}

// check reports options that make no sense, or not on an operator of this kind.
func (o *options) check(kind string) []error {
	var errs []error
	if o.parallelismSet && o.parallelism < 1 { // Graph.Validate knows the upper bound
		errs = append(errs, fmt.Errorf("parallelism %d: expected 1 or more", o.parallelism))
		o.parallelism = 1
	}
	if o.rateSet && (o.rate < 0 || math.IsNaN(o.rate) || math.IsInf(o.rate, 0)) {
		errs = append(errs, fmt.Errorf("rate %v: expected records per second, or 0 for no limit", o.rate))
	}
	if o.rateSet && kind != kindSource {
		errs = append(errs, errors.New("stream.Rate is for sources"))
	}
	if o.unbounded && kind != kindSource {
		errs = append(errs, errors.New("stream.Unbounded is for FromFunc"))
	}
	if o.updates && kind != kindReduce && kind != kindAggregate {
		errs = append(errs, errors.New("stream.Updates is for Reduce and Aggregate"))
	}
	if o.idlenessSet && o.idleness < time.Millisecond {
		errs = append(errs, fmt.Errorf("idleness %v: expected at least a millisecond", o.idleness))
	}
	if o.idlenessSet && kind != kindWatermarks {
		errs = append(errs, errors.New("stream.Idleness is for Watermarks"))
	}
	return append(errs, o.checkPolicy(kind)...)
}
