package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// errSlow is why a command gives up that waits for a savepoint or a change.
var errSlow = errors.New("waited an hour")

// requestCommand is a command that asks something of a running job, and tells what came of it.
func requestCommand(g *global, cmd *cobra.Command, ask func(ctx context.Context, c *client.Client, id client.ID, args []string) (client.Request, error), text func(r client.Request) string) *cobra.Command {
	var asJSON bool
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Hour, errSlow)
			defer cancel()
			id, err := resolve(ctx, c, args[0])
			if err != nil {
				return err
			}
			c.Pending = func(j client.Job, r client.Request) {
				fmt.Fprintf(os.Stderr, "perennial: %s; the %s waits or is under way (%s)\n", describe(j), cmd.Name(), strings.ToLower(r.State))
			}
			r, err := ask(ctx, c, id, args)
			if err != nil {
				return explain(cmd.Name(), id, err)
			}
			if asJSON {
				return printJSON(r)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text(r)+notes(r))
			return err
		})
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	return cmd
}

// resolve finds a job, for as long as a question waits.
func resolve(ctx context.Context, c *client.Client, part string) (client.ID, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	return c.Resolve(ctx, part)
}

// explain says that the job goes on in spite of a request without effect.
func explain(verb string, id client.ID, err error) error {
	refused, ok := errors.AsType[*client.RefusedError](err)
	switch {
	case !ok:
		return err
	case refused.Request.Change != nil && refused.Request.Checkpoint != 0, refused.Request.Drain: // the job may have been stopped for it
		return fmt.Errorf("%s of job %s failed: %w", verb, id.Short(), refused)
	}
	return fmt.Errorf("%s of job %s failed, nothing was changed: %w", verb, id.Short(), refused)
}

// notes tell what became of state.
func notes(r client.Request) string {
	var b strings.Builder
	for _, n := range r.Notes {
		b.WriteString("\n" + n)
	}
	return b.String()
}

func checkpointCommand(g *global) *cobra.Command {
	return requestCommand(g, &cobra.Command{Use: "checkpoint JOB", Short: "Have a checkpoint taken of a running job now", Args: exactly("JOB")},
		func(ctx context.Context, c *client.Client, id client.ID, _ []string) (client.Request, error) {
			return c.Checkpoint(ctx, id)
		},
		func(r client.Request) string { return fmt.Sprintf("checkpoint %d is completed", r.Checkpoint) })
}

func savepointCommand(g *global) *cobra.Command {
	cmd := requestCommand(g, &cobra.Command{
		Use: "savepoint JOB [DIR]", Short: "Make a savepoint of a running job, which runs on",
		Long: `Savepoint writes the state of a job to a new directory of DIR, a path or URL that the JobManagers can reach,
or, without DIR, of savepoints below storage.dir, and prints its name. The directory is whole in itself: it can be moved.
"run --from-savepoint" continues from it.`,
		Args: between("JOB", "DIR"),
	},
		func(ctx context.Context, c *client.Client, id client.ID, args []string) (client.Request, error) {
			dir, err := location(append(args, "")[1])
			if err != nil {
				return client.Request{}, err
			}
			return c.Savepoint(ctx, id, dir)
		},
		func(r client.Request) string { return r.Savepoint })
	cmd.AddCommand(inspectCommand(g))
	return cmd
}

// between takes one argument, and perhaps a second.
func between(needed, optional string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 {
			return nil
		}
		if err := exactly(needed)(cmd, args); err != nil && len(args) > 2 {
			return usageError{fmt.Errorf("%s: %d arguments; expected %s and perhaps %s", cmd.CommandPath(), len(args), needed, optional)}
		} else if err != nil {
			return err
		}
		return nil
	}
}

// location makes a path absolute, as the JobManagers have working directories of their own.
func location(path string) (string, error) {
	if path == "" || strings.Contains(path, "://") {
		return path, nil
	}
	return filepath.Abs(path)
}

func stopCommand(g *global) *cobra.Command {
	var dir string
	var drain bool
	cmd := requestCommand(g, &cobra.Command{
		Use: "stop JOB", Short: "End a job with a savepoint",
		Long: `Stop has the sources of a job emit nothing more, makes a savepoint, and ends the job: what it had put out becomes visible,
and a job that continues from the savepoint goes on exactly there. When the savepoint fails the job runs on.
With --drain the sources end as if their input had, and results come out before the savepoint is made: for a job that is not to go on.`,
		Args: exactly("JOB"),
	},
		func(ctx context.Context, c *client.Client, id client.ID, _ []string) (client.Request, error) {
			return stop(ctx, c, id, dir, drain)
		},
		func(r client.Request) string { return r.Savepoint })
	cmd.Flags().StringVar(&dir, "savepoint-dir", "", "make the savepoint in a new directory of this one (default: savepoints below storage.dir)")
	cmd.Flags().BoolVar(&drain, "drain", false, "have sources end as if their input had")
	return cmd
}

func stop(ctx context.Context, c *client.Client, id client.ID, dir string, drain bool) (client.Request, error) {
	dir, err := location(dir)
	if err != nil {
		return client.Request{}, err
	}
	r, err := c.Stop(ctx, id, dir, drain)
	if err != nil {
		return r, err
	}
	j, err := c.Wait(ctx, id, 50*time.Millisecond, nil)
	if err == nil && j.State != job.Finished {
		err = fmt.Errorf("the savepoint is %s, but the job is %s: %s", r.Savepoint, j.State, strings.TrimSpace(j.Failure))
	}
	return r, err
}

func rescaleCommand(g *global) *cobra.Command {
	var change client.Change
	cmd := requestCommand(g, &cobra.Command{
		Use: "rescale JOB -p N", Short: "Have a running job go on with another parallelism",
		Long: `Rescale takes a checkpoint of a job and restarts it from there with N subtasks per operator that does not say its own.
What cannot be done, as there are too few slots, is refused before anything is stopped.`,
		Args: exactly("JOB"),
		PreRunE: func(*cobra.Command, []string) error {
			if change.Parallelism < 1 {
				return usageError{fmt.Errorf("rescale: -p %d: expected 1 or more subtasks", change.Parallelism)}
			}
			return nil
		},
	},
		func(ctx context.Context, c *client.Client, id client.ID, _ []string) (client.Request, error) {
			return c.Change(ctx, id, change)
		},
		changed)
	cmd.Flags().IntVarP(&change.Parallelism, "parallelism", "p", 0, "subtasks per operator")
	return cmd
}

func changed(r client.Request) string {
	return fmt.Sprintf("the job runs on from checkpoint %d; it stood still for %.0f ms", r.Checkpoint, r.DowntimeMillis)
}

// printRequests tells of what is under way, and of the newest outcomes.
func printRequests(w io.Writer, requests []client.Request) {
	for _, r := range requests {
		what := string(r.Kind)
		if c := r.Change; c != nil && c.Artifact == "" {
			what = fmt.Sprintf("rescale to %d", c.Parallelism)
		} else if c != nil {
			what = "upgrade"
		}
		fmt.Fprintf(w, "%s, asked %s: %s", what, r.Asked.Local().Format(time.DateTime), strings.ToLower(r.State))
		switch {
		case r.Failure != "":
			fmt.Fprintf(w, ": %s", r.Failure)
		case r.Savepoint != "":
			fmt.Fprintf(w, ", %s", r.Savepoint)
		case r.DowntimeMillis > 0:
			fmt.Fprintf(w, ", stood still for %.0f ms", r.DowntimeMillis)
		}
		fmt.Fprintln(w)
	}
}
