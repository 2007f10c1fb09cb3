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

// Timer is a timer of a key, as it stands in a [DeadLetter] where the function that it calls has failed.
type Timer[K comparable] = operator.Timer[K]

// OnError says what becomes of a record that makes the operator's function fail. It is for Map, Modify,
// Filter, Retain, FlatMap, Apply, Reduce, Aggregate, Process, CoProcess, ProcessBroadcast, ToFunc and ForEach, and
// so is [DeadLetters]. All others refuse it.
//
// What the function emitted for the record before it failed is dropped too: a record's output is all or
// nothing, and waits in memory until it is complete. Of Reduce and Aggregate the accumulator stays what it was, and a key
// whose first record fails gets none; only what an accumulator refers to (a map, the elements of a slice) and add
// changed before it failed stays changed. What else a function did stays done: variables that
// it changed, states and timers that it set in Process and its siblings, what it sent elsewhere. So a function checks
// first, and sets then.
//
// Skip is for the functions that timers call, too: such a timer is over, and counted with the records. [DeadTimers] is
// another policy for them, and without either a timer that fails fails the job. So does, always, a panic of a function given
// to KeyBy, and of Aggregate's result where it is called for a key at the end of the input and not for a record.
//
// A record of ProcessBroadcast's second input is processed, and may fail, in each subtask: it is counted, and has a
// dead letter, in each. The broadcast states stay the same everywhere only if the function fails everywhere, and at the same place.
//
// Records that were given up are counted for each operator, in all of its subtasks together, from the
// beginning of the attempt: the count does not survive a restart of the job. The first is logged with
// its error, and then one in a minute in each subtask.
func OnError(p ErrorPolicy) Option {
	return func(o *options) { o.onError, o.onErrorSet = p, true }
}

// DeadLetters makes of *to the stream of the records that make the operator's function fail, each with
// its error; the job goes on. T is the type of the records that the operator takes; one of two inputs takes the
// option twice, for the first and then for the second. The stream is a stream like
// any other: it must end in a sink, may be transformed on its way, and takes part in checkpoints, so that
// an exactly-once sink has each dead letter once. All that [OnError] tells holds here too.
//
//	var rejected stream.Stream[stream.DeadLetter[string]]
//	orders := stream.Apply(lines, "parse", parse, stream.DeadLetters(&rejected))
//	stream.To(rejected, "rejected", file.JSONLines[stream.DeadLetter[string]](dir))
func DeadLetters[T any](to *Stream[DeadLetter[T]]) Option {
	return func(o *options) { o.deadLetters = append(o.deadLetters, lettersOf("stream.DeadLetters", to)) }
}

// DeadTimers makes of *to the stream of the timers whose functions fail, each with its error; the job goes on. It
// is for Process, CoProcess and ProcessBroadcast, beside [OnError] or [DeadLetters] or alone. K is the type of the keys.
// A timer that failed is over; what it had emitted is dropped, and what it had set stays set.
func DeadTimers[K comparable](to *Stream[DeadLetter[Timer[K]]]) Option {
	return func(o *options) { o.deadTimers = append(o.deadTimers, lettersOf("stream.DeadTimers", to)) }
}

// letters are where dead letters go.
type letters struct {
	option string       // that said so
	to     any          // a *Stream[DeadLetter[T]]
	of     reflect.Type // T
}

func lettersOf[T any](option string, to *Stream[DeadLetter[T]]) letters {
	return letters{option, to, reflect.TypeFor[T]()}
}

// checkPolicy reports policies that make no sense, or not on an operator of this kind.
func (o *options) checkPolicy(kind string) []error {
	var errs []error
	if o.onErrorSet && o.onError != Fail && o.onError != Skip {
		errs = append(errs, fmt.Errorf("stream.OnError(%d): expected stream.Fail or stream.Skip", o.onError))
	}
	if o.onErrorSet && len(o.deadLetters) > 0 {
		errs = append(errs, errors.New("stream.OnError and stream.DeadLetters exclude each other: dead letters are a policy of their own"))
	}
	inputs := inputsThatFail(kind, o.byRecord)
	switch n := len(o.deadLetters); {
	case inputs == 0 && o.onError != Skip && n == 0:
	case inputs == 0 && kind == kindSink:
		errs = append(errs, errors.New("a sink fails as a whole, not for a record: stream.OnError and stream.DeadLetters are for ToFunc, ForEach and what stands before a sink"))
	case inputs == 0:
		errs = append(errs, fmt.Errorf("stream.OnError and stream.DeadLetters are not for a %s: they are for Map, Modify, Filter, Retain, FlatMap, Apply, Reduce, Aggregate, Process, CoProcess, ProcessBroadcast, ToFunc and ForEach", kind))
	case n != 0 && n != inputs:
		errs = append(errs, fmt.Errorf("stream.DeadLetters is there %d times: expected once for each input of the operator, %d in all", n, inputs))
	}
	switch n := len(o.deadTimers); {
	case n > 1:
		errs = append(errs, fmt.Errorf("stream.DeadTimers is there %d times: expected once", n))
	case n == 1 && !hasTimers(kind):
		errs = append(errs, errors.New("stream.DeadTimers is for Process, CoProcess and ProcessBroadcast"))
	}
	return errs
}

// inputsThatFail is how many inputs an operator has whose records make a function of its own fail.
func inputsThatFail(kind string, byRecord bool) int {
	switch kind {
	case kindMap, kindModify, kindFilter, kindFlatMap, kindApply, kindReduce, kindAggregate, kindProcess:
		return 1
	case kindCoProcess, kindBroadcast:
		return 2
	}
	if byRecord {
		return 1
	}
	return 0
}

func hasTimers(kind string) bool {
	return kind == kindProcess || kind == kindCoProcess || kind == kindBroadcast
}

// survive gives an input of n, whose records are of type T, the policy that n's options say.
func survive[T any](env *Env, n *node, o options, input int) {
	switch {
	case input < len(o.deadLetters):
		bury[T](env, n, o.deadLetters[input], input, "dead letters")
	case o.onError == Skip:
		n.Survives = append(n.Survives, operator.Survival{Input: input})
	}
}

// surviveTimers gives the timers of n, whose keys are of type K, the policy that n's options say.
func surviveTimers[K comparable](env *Env, n *node, o options) {
	switch {
	case len(o.deadTimers) > 0:
		bury[Timer[K]](env, n, o.deadTimers[0], operator.OfTimers, "dead timers")
	case o.onError == Skip:
		n.Survives = append(n.Survives, operator.Survival{Input: operator.OfTimers})
	}
}

// bury puts beside n what emits the dead letters of an input, or of its timers.
func bury[T any](env *Env, n *node, l letters, of int, what string) {
	to, ok := l.to.(*Stream[DeadLetter[T]])
	switch {
	case !ok:
		env.errorf("operator %q: its %s are of type %v, and %s was given a stream for those of type %v", n.Name, what, reflect.TypeFor[T](), l.option, l.of)
		return
	case to == nil:
		env.errorf("operator %q: %s(nil): expected the address of a stream", n.Name, l.option)
		return
	}
	if of > 0 {
		what = fmt.Sprint(what, " ", of+1)
	}
	d := &node{kind: kindDeadLetters, bounded: n.bounded, inputs: []input{{from: n, partitioning: job.Forward}}}
	d.Name, d.Out = n.Name+" "+what, operator.CarrierOf[DeadLetter[T]]()
	env.add(d, options{parallelism: n.parallelism})
	n.Survives = append(n.Survives, operator.Survival{Input: of, Dead: &d.Node})
	*to = streamOf[DeadLetter[T]](env, d)
}
