package stream

import (
	"errors"
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// Context tells a user function where it runs: logger, subtask, the job's arguments. It is also
// a context.Context, which ends with the subtask, however that comes about.
type Context = operator.Context

// Env is a job while it is built: its arguments and its operators. Only the function that
// builds the job uses it, and only until that returns.
type Env struct {
	name           string
	args           *arguments
	flags          flags
	parallelism    int // of the job; 0: not said
	maxParallelism int // 0: not said
	nodes          []*node
	keep           StateStore // nil: in memory
	errs           []error
	metrics        Metrics // of what runs here
}

// The number of key groups of a job, which is the highest parallelism that it can ever have.
const (
	defaultMaxParallelism = 256
	mostMaxParallelism    = 32768
)

// SetMaxParallelism sets the number of key groups, 1 to 32768: keyed state is shared out by them, so it is the
// highest parallelism to which the job can be rescaled. It is 256 if it is not set, and stays what it
// was when the job has state: a savepoint of another number cannot be continued.
func (e *Env) SetMaxParallelism(n int) {
	if n < 1 || n > mostMaxParallelism {
		e.errorf("SetMaxParallelism(%d): expected 1 to %d", n, mostMaxParallelism)
		return
	}
	e.maxParallelism = n
}

// groups is the number of key groups. It is final once the job is built.
func (e *Env) groups() int {
	if e.maxParallelism == 0 {
		return defaultMaxParallelism
	}
	return e.maxParallelism
}

// SetParallelism says in how many subtasks each operator runs that does not say otherwise by
// [Parallelism]. The command line (-p) takes precedence. Without either it is 1.
func (e *Env) SetParallelism(n int) {
	if n < 1 || n > mostMaxParallelism {
		e.errorf("SetParallelism(%d): expected 1 or more, up to SetMaxParallelism's", n)
		return
	}
	e.parallelism = n
}

// Errorf reports what is wrong with the job by its own rules, such as an argument that makes no
// sense. Building goes on; then the job ends with an error that tells everything reported.
func (e *Env) Errorf(format string, args ...any) { e.errorf(format, args...) }

func (e *Env) errorf(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// node is an operator with its place in the job.
type node struct {
	operator.Node
	kind        string
	parallelism int               // 0: the job's
	checker     connector.Checker // of a source or sink that is one; else nil
	inputs      []input
	consumed    bool
	bounded     bool
}

// input is where an operator's records come from, and how they get there.
type input struct {
	from         *node
	port         int // which input of its consumer it goes to
	partitioning job.Partitioning
	partition    func() any // of Hash; else nil
}

// add puts a node into the job, and reports what is wrong with it and its inputs.
func (e *Env) add(n *node, o options) {
	n.parallelism = o.parallelism
	if n.Name == "" {
		e.errorf("a %s operator has no name", n.kind)
	}
	for _, other := range e.nodes {
		if other.Name == n.Name && n.Name != "" {
			e.errorf("operator %q: another one (%s) has this name; names tell a job's operators apart", n.Name, other.kind)
			break
		}
	}
	for _, err := range o.check(n.kind) {
		e.errorf("operator %q: %w", n.Name, err)
	}
	for _, in := range n.inputs {
		if !slices.Contains(e.nodes, in.from) { // its records would never come
			e.errorf("operator %q: its input %q belongs to another Env; a job's streams all come from its own", n.Name, in.from.Name)
		}
		in.from.consumed = in.from.consumed || n.kind != kindDeadLetters
	}
	e.nodes = append(e.nodes, n)
}

// problems returns everything that keeps the job from running, arguments first.
func (e *Env) problems() error {
	errs := append(e.args.problems(), e.errs...)
	if len(e.nodes) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("the job has no operators"))
	}
	sink := false
	for _, n := range e.nodes {
		sink = sink || n.Out == nil
	}
	if !sink && len(e.nodes) > 0 {
		errs = append(errs, errors.New("the job has no sink: end it with stream.To, ToFunc or ForEach"))
	}
	for _, n := range e.nodes {
		if sink && n.Out != nil && !n.consumed {
			errs = append(errs, fmt.Errorf("operator %q: nothing takes its records; connect it to a sink or remove it", n.Name))
		}
	}
	return errors.Join(errs...)
}
