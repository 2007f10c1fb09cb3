package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/task"
)

// The exit statuses of a job run by hand.
const (
	statusFinished = 0
	statusFailed   = 1 // or cancelled
	statusUsage    = 2
)

// Main is the main function of a job: it builds the job, runs it and exits.
//
// Started by hand, the process runs the whole job and shows its progress on standard error:
// --help lists the job's arguments and the flags that every job has, -p sets its parallelism, and
// Ctrl-C cancels it in order. The exit status is 0 once the job has finished and its output is
// visible, 1 if it failed or was cancelled, 2 if its arguments were wrong.
//
// Started by a cluster, the process plans the job or runs a part of it. So build runs in
// several processes, which must all arrive at the same job: it decides by its arguments alone,
// and not by a clock, a random number, the environment or the machine.
func Main(name string, build func(env *Env)) {
	d := definition{name, build}
	switch role := os.Getenv(task.RoleVariable); role {
	case task.RolePlan:
		os.Exit(task.PlanProcess(func(s job.Spec) (*operator.Plan, error) { return d.checked(context.Background(), s) }))
	case task.RoleTask:
		task.RaiseHeapFloor()
		os.Exit(task.Process(d.plan))
	case "":
		task.RaiseHeapFloor()
		os.Exit(d.byHand(os.Args[1:], os.Stderr))
	default:
		fmt.Fprintf(os.Stderr, "%s=%s: expected %s, %s, or nothing to run the job by hand\n", task.RoleVariable, role, task.RolePlan, task.RoleTask)
		os.Exit(statusUsage)
	}
}

// byHand runs the job in this process and returns its exit status.
func (d definition) byHand(args []string, stderr *os.File) int {
	if wantsHelp(args) {
		d.help(os.Stdout)
		return statusFinished
	}
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // a second Ctrl-C ends the process at once
	r, err := newLocalRun(ctx, d, args)
	if err != nil {
		fmt.Fprintln(stderr, err)
		if _, isUsage := errors.AsType[usageError](err); isUsage {
			return statusUsage
		}
		return statusFailed
	}
	if err := r.start(ctx); err != nil {
		fmt.Fprintln(stderr, err)
		return statusFailed
	}
	p := newProgress(r, stderr, quiet(args))
	err = r.waitShowing(p)
	switch {
	case err != nil && errors.Is(err, context.Cause(ctx)):
		fmt.Fprintf(stderr, "job %q was cancelled; no output is visible\n", d.name)
		return statusFailed
	case err != nil:
		fmt.Fprintf(stderr, "job %q failed: %v\n", d.name, err)
		return statusFailed
	}
	p.summary()
	return statusFinished
}

func wantsHelp(args []string) bool { return newArguments(args).common().help }
func quiet(args []string) bool     { return newArguments(args).common().quiet }

// help lists the job's arguments, which are known once it was built: without any, and
// whatever comes of that.
func (d definition) help(w io.Writer) {
	env := &Env{name: d.name, args: newArguments(nil)}
	func() {
		defer func() { _ = recover() }() // the function did not expect to get no arguments
		d.build(env)
	}()
	env.args.common()
	env.usage(w, filepath.Base(os.Args[0]))
}
