package stream

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// kindDeadLetters is of what stands beside an operator and emits its dead letters. It has no step.
const kindDeadLetters = "deadletters"

// ErrorPolicy says what becomes of a record that makes an operator's function fail: return an error
// (the functions of [Apply] and [ToFunc]) or panic. The error of a function that opens something is
// never a record's, and ends the job; so do runtime.Goexit (t.FailNow calls it) and what Go cannot
// recover from, such as concurrent writes to a map. A function that returns an error because its context
// has ended has not failed: the subtask is being stopped, and the record comes again if the job goes on.
type ErrorPolicy int

// The policies of an operator. [DeadLetters] is another.
const (
	Fail ErrorPolicy = iota // the job fails: what an operator does without an option
	Skip                    // the record is dropped, and counted
)

// DeadLetter is a record that made an operator's function fail: the record as the operator received it
// (what it points to may have been changed), the error or panic as a text, and where it was.
type DeadLetter[T any] = operator.DeadLetter[T]

// OnError says what becomes of a record that makes the operator's function fail. It is for Map, Modify,
// Filter, Retain, FlatMap, Apply, Process, ToFunc and ForEach, and so is [DeadLetters]. A function that a timer
// calls fails the job whatever is said here.
//
// What the function emitted for the record before it failed is dropped too: a record's output is all or
// nothing, and waits in memory until it is complete. What else the function did stays done: variables that
// it changed, state that it set, what it sent elsewhere. Of a function given to KeyBy a panic still fails
// the job.
//
// Records that were given up are counted for each operator, in all of its subtasks together, from the
// beginning of the attempt: the count does not survive a restart of the job. The first is logged with
// its error, and then one in a minute in each subtask.
func OnError(p ErrorPolicy) Option {
	return func(o *options) { o.onError, o.onErrorSet = p, true }
}

// DeadLetters makes of *to the stream of the records that make the operator's function fail, each with
// its error; the job goes on. T is the type of the records that the operator takes. The stream is a stream like
// any other: it must end in a sink, may be transformed on its way, and takes part in checkpoints, so that
// an exactly-once sink has each dead letter once. All that [OnError] tells holds here too.
//
//	var rejected stream.Stream[stream.DeadLetter[string]]
//	orders := stream.Apply(lines, "parse", parse, stream.DeadLetters(&rejected))
//	stream.To(rejected, "rejected", file.JSONLines[stream.DeadLetter[string]](dir))
func DeadLetters[T any](to *Stream[DeadLetter[T]]) Option {
	return func(o *options) { o.deadLetters, o.deadLettersOf = to, reflect.TypeFor[T]() }
}

// checkPolicy reports policies that make no sense, or not on an operator of this kind.
func (o *options) checkPolicy(kind string) []error {
	var errs []error
	if o.onErrorSet && o.onError != Fail && o.onError != Skip {
		errs = append(errs, fmt.Errorf("stream.OnError(%d): expected stream.Fail or stream.Skip", o.onError))
	}
	if o.onErrorSet && o.deadLetters != nil {
		errs = append(errs, errors.New("stream.OnError and stream.DeadLetters exclude each other: dead letters are a policy of their own"))
	}
	switch {
	case !o.survives():
	case kind == kindMap, kind == kindModify, kind == kindFilter, kind == kindFlatMap, kind == kindApply, kind == kindProcess, o.byRecord:
	case kind == kindSink:
		errs = append(errs, errors.New("a sink fails as a whole, not for a record: stream.OnError and stream.DeadLetters are for ToFunc, ForEach and what stands before a sink"))
	default:
		errs = append(errs, errors.New("stream.OnError and stream.DeadLetters are for Map, Modify, Filter, Retain, FlatMap, Apply, Process, ToFunc and ForEach"))
	}
	return errs
}

func (o *options) survives() bool { return o.onError == Skip || o.deadLetters != nil }

// survive gives n, which takes records of type T, the policy that its options say.
func survive[T any](env *Env, n *node, o options) {
	n.Survives = o.survives()
	if o.deadLetters == nil {
		return
	}
	to, ok := o.deadLetters.(*Stream[DeadLetter[T]])
	switch {
	case !ok:
		env.errorf("operator %q: it takes records of type %v, and stream.DeadLetters was given a stream for those of type %v",
			n.Name, reflect.TypeFor[T](), o.deadLettersOf)
		return
	case to == nil:
		env.errorf("operator %q: stream.DeadLetters(nil): expected the address of a stream", n.Name)
		return
	}
	d := &node{kind: kindDeadLetters, bounded: n.bounded, inputs: []input{{from: n, partitioning: job.Forward}}}
	d.Name, d.Out = n.Name+" dead letters", operator.CarrierOf[DeadLetter[T]]()
	env.add(d, options{parallelism: n.parallelism})
	*to = streamOf[DeadLetter[T]](env, d)
}
