package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
)

// patience is how long a command that asks a question waits for a leader.
const patience = 20 * time.Second

var errPatience = errors.New("waited 20 s")

// A question is a command that asks the cluster and prints the answer, for people or as JSON.
func question(g *global, use, short string, args cobra.PositionalArgs, ask func(ctx context.Context, c *client.Client, args []string) (answer, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
			ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
			defer cancel()
			a, err := ask(ctx, c, args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.value)
			}
			return a.text(os.Stdout)
		})
	}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// answer is a value and how a person reads it.
type answer struct {
	value any
	text  func(w io.Writer) error
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows with aligned columns.
func table(w io.Writer, rows [][]any) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func listCommand(g *global) *cobra.Command {
	return question(g, "list", "List the cluster's jobs", exactly(), func(ctx context.Context, c *client.Client, _ []string) (answer, error) {
		jobs, err := c.Jobs(ctx)
		if jobs == nil {
			jobs = []client.Summary{}
		}
		return answer{jobs, func(w io.Writer) error {
			rows := [][]any{{"ID", "NAME", "STATE", "PARALLELISM", "SUBMITTED", "FINISHED"}}
			for _, j := range jobs {
				finished := "-"
				if j.Finished != nil {
					finished = j.Finished.Local().Format(time.DateTime)
				}
				rows = append(rows, []any{j.ID, j.Name, j.State, j.Parallelism, j.Submitted.Local().Format(time.DateTime), finished})
			}
			return table(w, rows)
		}}, err
	})
}

func infoCommand(g *global) *cobra.Command {
	return question(g, "info JOB", "Tell all about a job, by its id or the beginning or end of it", exactly("JOB"), func(ctx context.Context, c *client.Client, args []string) (answer, error) {
		id, err := c.Resolve(ctx, args[0])
		if err != nil {
			return answer{}, err
		}
		j, err := c.Job(ctx, id)
		return answer{j, func(w io.Writer) error { return printJob(w, j) }}, err
	})
}

func printJob(w io.Writer, j client.Job) error {
	fmt.Fprintf(w, "%s  %s\n", j.ID, describe(j))
	fmt.Fprintf(w, "submitted %s, attempt %d, restarts %d\n", j.Submitted.Local().Format(time.DateTime), j.Attempt, j.Restarts)
	if j.Failure != "" {
		fmt.Fprintf(w, "failure: %s\n", strings.TrimSpace(j.Failure))
	}
	if j.StorageWait != "" {
		fmt.Fprintf(w, "it waits for storage, to %s\n", strings.TrimSpace(j.StorageWait))
	}
	printSkipped(w, j)
	printMetrics(w, j)
	printCheckpoints(w, j.Checkpoints)
	printRequests(w, j.Requests)
	if len(j.Vertices) == 0 {
		return nil
	}
	vertices := [][]any{{"VERTEX", "PARALLELISM", "IN", "OUT", "BUSY", "BLOCKED"}}
	rows := [][]any{{"VERTEX", "SUBTASK", "ATTEMPT", "STATE", "TASKMANAGER", "PID"}}
	for _, v := range j.Vertices {
		vertices = append(vertices, []any{shorten(v.Name, 50), v.Parallelism, v.RecordsIn, v.RecordsOut, percent(v.Busy), percent(v.Blocked)})
		for _, s := range v.Subtasks {
			rows = append(rows, []any{shorten(v.Name, 50), s.Index, s.Attempt, s.State, orDash(s.TaskManager), orDash(s.PID)})
		}
	}
	fmt.Fprintln(w)
	if err := table(w, vertices); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return table(w, rows)
}

// printSkipped tells of the operators that gave records up.
func printSkipped(w io.Writer, j client.Job) {
	for _, v := range j.Vertices {
		for _, op := range v.Operators {
			if op.Skipped > 0 {
				fmt.Fprintf(w, "operator %q: %d of %d records failed and were given up in this attempt\n", op.Name, op.Skipped, op.RecordsIn)
			}
		}
	}
}

// printMetrics tells what user functions have counted and measured.
func printMetrics(w io.Writer, j client.Job) {
	for _, v := range j.Vertices {
		for _, op := range v.Operators {
			for _, m := range op.Metrics {
				fmt.Fprintf(w, "operator %q: %v\n", op.Name, m)
			}
		}
	}
}

// printCheckpoints tells of the newest checkpoint, of the one under way, and of what went wrong.
func printCheckpoints(w io.Writer, c client.Checkpoints) {
	if len(c.Completed) > 0 {
		newest := c.Completed[0]
		fmt.Fprintf(w, "checkpoint %d: completed %s in %.0f ms, %d bytes of state\n", newest.ID, newest.Completed.Local().Format(time.DateTime), newest.Millis, newest.Size)
	}
	if c.InProgress != 0 {
		fmt.Fprintf(w, "checkpoint %d: in progress since %s\n", c.InProgress, c.Since.Local().Format(time.DateTime))
	}
	if c.Aborted > 0 {
		fmt.Fprintf(w, "checkpoints given up: %d; the last: %s\n", c.Aborted, c.LastAbort)
	}
	if c.Failures > 0 {
		fmt.Fprintf(w, "no checkpoint has succeeded since: %d in a row failed\n", c.Failures)
	}
	if c.Damaged != "" {
		fmt.Fprintf(w, "an older checkpoint was used in place of one that is damaged: %s\n", c.Damaged)
	}
	switch {
	case c.Savepoint != "":
		fmt.Fprintf(w, "continued from savepoint %s\n", c.Savepoint)
		for _, n := range c.Notes {
			fmt.Fprintf(w, "  %s\n", n)
		}
	case c.Restored != 0:
		fmt.Fprintf(w, "continued from checkpoint %d\n", c.Restored)
	}
}

func checkpointsCommand(g *global) *cobra.Command {
	return question(g, "checkpoints JOB", "List the checkpoints from which a job can continue, the newest first", exactly("JOB"), func(ctx context.Context, c *client.Client, args []string) (answer, error) {
		id, err := c.Resolve(ctx, args[0])
		if err != nil {
			return answer{}, err
		}
		j, err := c.Job(ctx, id)
		return answer{j.Checkpoints, func(w io.Writer) error {
			rows := [][]any{{"ID", "ATTEMPT", "COMPLETED", "MS", "PAUSED-MS", "BYTES", "LOCATION"}}
			for _, k := range j.Checkpoints.Completed {
				rows = append(rows, []any{k.ID, k.Attempt, k.Completed.Local().Format(time.DateTime), fmt.Sprintf("%.0f", k.Millis), fmt.Sprintf("%.2f", k.PausedMillis), k.Size, k.Location})
			}
			return table(w, rows)
		}}, err
	})
}

// orDash shows what is not known yet.
func orDash[T comparable](v T) any {
	var none T
	if v == none {
		return "-"
	}
	return v
}

func cancelCommand(g *global) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "cancel JOB", Short: "End a job, by its id or the beginning or end of it", Args: exactly("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				j, err := cancelJob(ctx, c, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(j)
				}
				fmt.Printf("job %s is %s\n", j.ID, j.State)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the job as JSON")
	return cmd
}

func cancelJob(ctx context.Context, c *client.Client, part string) (client.Job, error) {
	ctx, stop := context.WithTimeoutCause(ctx, time.Minute, errors.New("waited a minute"))
	defer stop()
	id, err := c.Resolve(ctx, part)
	if err != nil {
		return client.Job{}, err
	}
	if _, err := c.Cancel(ctx, id); err != nil {
		return client.Job{}, err
	}
	return c.Wait(ctx, id, 50*time.Millisecond, nil)
}

func jobManagersCommand(g *global) *cobra.Command {
	return question(g, "jobmanagers", "Tell who leads, since when and under which epoch, and who stands by", exactly(), func(ctx context.Context, c *client.Client, _ []string) (answer, error) {
		list, err := c.JobManagers(ctx)
		return answer{list, func(w io.Writer) error {
			rows := [][]any{{"ROLE", "EPOCH", "SINCE", "ID", "ADDRESS", "REST", "VERSION", "PID", "HOST"}}
			for _, m := range list {
				rows = append(rows, []any{m.Role, m.Epoch, m.Since.Local().Format(time.DateTime), m.ID, m.Address, m.REST, m.Version, m.PID, m.Host})
			}
			return table(w, rows)
		}}, err
	})
}
