package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

// definition is a job as it is written: its name, and the function that builds it.
type definition struct {
	name  string
	build func(*Env)
}

// define runs the building function over the given arguments. What is wrong is in the Env.
func (d definition) define(args []string) (env *Env) {
	env = &Env{name: d.name, args: newArguments(args)}
	env.flags = env.args.common()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case noInput:
			env.errs = append(env.errs, v)
		default:
			panic(v)
		}
	}()
	d.build(env)
	return env
}

// plan builds the job for spec. Its parallelism takes precedence over the one in its arguments.
func (d definition) plan(spec job.Spec) (*operator.Plan, error) {
	env := d.define(spec.Args)
	plan, err := env.planFor(spec)
	return plan, env.explain(err)
}

// checked is plan after every source and sink that can tell was asked what would make it fail.
// That may touch the outside, so it is for where a job is planned or run by hand, and not for each
// task process.
func (d definition) checked(ctx context.Context, spec job.Spec) (*operator.Plan, error) {
	plan, _, err := d.local(ctx, spec)
	return plan, err
}

// local is checked, with where the metrics of what runs here are to be read.
func (d definition) local(ctx context.Context, spec job.Spec) (*operator.Plan, *Metrics, error) {
	env := d.define(spec.Args)
	plan, err := env.planFor(spec)
	if err == nil {
		err = env.check(ctx, spec, plan.Args)
	}
	return plan, &env.metrics, env.explain(err)
}

func (e *Env) planFor(spec job.Spec) (*operator.Plan, error) {
	if spec.Parallelism == 0 {
		spec.Parallelism = e.flags.parallelism
	}
	if spec.Parallelism < 0 {
		e.errorf("parallelism %d: expected 1 or more", spec.Parallelism)
	}
	return e.plan(spec.Parallelism)
}

func (e *Env) check(ctx context.Context, spec job.Spec, args map[string]string) error {
	var errs []error
	attempt := job.Attempt(1)
	if spec.Continues {
		attempt = 2
	}
	for _, n := range e.nodes {
		if n.checker == nil {
			continue
		}
		c := operator.NewContext(ctx, operator.ContextConfig{
			Job: spec.ID, Attempt: attempt, Operator: n.Name, Parallelism: n.parallelism, Args: args, Dir: spec.Dir,
		})
		if err := n.checker.Check(c); err != nil {
			errs = append(errs, fmt.Errorf("operator %q: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}

// explain puts the job's name before what is wrong with it: one line for each problem.
func (e *Env) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "\n"):
		return fmt.Errorf("job %q cannot run:\n%w", e.name, err)
	default:
		return fmt.Errorf("job %q cannot run: %w", e.name, err)
	}
}
