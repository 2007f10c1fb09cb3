package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/diagnose"
	"github.com/perennial-io/perennial/internal/inspect"
)

func logsCommand(g *global) *cobra.Command {
	r := diagnose.Reading{Trouble: func(title string, err error) {
		fmt.Fprintf(os.Stderr, "perennial: %s: %v; trying on\n", cmp.Or(title, "logs"), err)
	}}
	cmd := &cobra.Command{
		Use: "logs JOB | jobmanager ID | taskmanager ID", Short: "Show the log of a process, or what a job's task processes have written",
		Long: `Shows the end of a log, through the leader.

  logs JOB             what the task processes of the job's newest attempt have written: standard output and error
  logs jobmanager ID   ID is "leader", a part of the id that perennial jobmanagers shows, or an address of its REST port
  logs taskmanager ID  ID is the beginning or end of its id, or its host if it is alone there`,
		Args: logsArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				r.Find = logsOf(c, args)
				return r.Run(ctx, os.Stdout)
			})
		},
	}
	cmd.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on with what is written from now on, until interrupted")
	cmd.Flags().IntVarP(&r.Lines, "lines", "n", 100, "how many lines of the end to show; -1: all")
	return cmd
}

func logsArguments(cmd *cobra.Command, args []string) error {
	role := len(args) > 0 && (args[0] == "jobmanager" || args[0] == "taskmanager")
	if role && len(args) == 2 || !role && len(args) == 1 {
		return nil
	}
	return usageError{fmt.Errorf("logs takes JOB, or jobmanager ID, or taskmanager ID, and got %s; %s --help tells more", quoted(args), cmd.CommandPath())}
}

// logsOf finds the logs that the arguments name.
func logsOf(c *client.Client, args []string) func(context.Context) ([]diagnose.Log, error) {
	part := args[len(args)-1]
	return func(ctx context.Context) ([]diagnose.Log, error) {
		ctx, cancel := patiently(ctx)
		defer cancel()
		switch args[0] {
		case "jobmanager":
			jm, err := findJobManager(ctx, c, part)
			return []diagnose.Log{{Title: jm.ID, Ask: askJobManager(c, jm)}}, err
		case "taskmanager":
			return []diagnose.Log{{Title: part, Ask: askTaskManager(c, part, client.Inspect{})}}, nil
		}
		id, err := c.Resolve(ctx, part)
		if err != nil {
			return nil, err
		}
		files, err := c.JobFiles(ctx, id)
		if err != nil {
			return nil, err
		}
		var missing []error
		for _, m := range files.Missing {
			missing = append(missing, fmt.Errorf("what there is on TaskManager %s is missing here: %s", m.TaskManager, m.Error))
		}
		if len(files.Files) == 0 && len(missing) == 0 {
			return nil, fmt.Errorf("no TaskManager that is connected has output of job %s: it has not started yet, or its files were removed since", id)
		}
		return logsOfJob(c, files.Files), errors.Join(missing...)
	}
}

// logsOfJob are the files of the newest attempt of each region; regions restart by themselves.
func logsOfJob(c *client.Client, files []client.JobFile) (logs []diagnose.Log) {
	newest := map[int]int{}
	for _, f := range files {
		newest[f.Region] = max(newest[f.Region], f.Attempt)
	}
	for _, f := range files {
		if f.Attempt == newest[f.Region] {
			logs = append(logs, diagnose.Log{
				Title: fmt.Sprintf("%s %s %s", f.Host, f.TaskManager, f.Name), Attempt: true,
				Ask: askTaskManager(c, f.TaskManager, client.Inspect{Question: inspect.Question{File: f.Name}}),
			})
		}
	}
	return logs
}

// patiently bounds one question.
func patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, errPatience)
}

func askJobManager(c *client.Client, jm client.JobManager) func(context.Context, inspect.Question) (inspect.Piece, error) {
	return func(ctx context.Context, q inspect.Question) (inspect.Piece, error) {
		return c.InspectJobManager(ctx, jm.REST, q)
	}
}

// askTaskManager asks about what of says, beside the question.
func askTaskManager(c *client.Client, part string, of client.Inspect) func(context.Context, inspect.Question) (inspect.Piece, error) {
	return func(ctx context.Context, q inspect.Question) (inspect.Piece, error) {
		ctx, cancel := patiently(ctx)
		defer cancel()
		asked := of
		q.File = of.File
		asked.Question = q
		answer, err := c.InspectTaskManager(ctx, part, asked)
		return answer.Piece, err
	}
}

// findJobManager finds the one JobManager that part names.
func findJobManager(ctx context.Context, c *client.Client, part string) (client.JobManager, error) {
	all, err := c.JobManagers(ctx)
	if err != nil {
		return client.JobManager{}, err
	}
	var found []client.JobManager
	var names []string
	for _, jm := range all {
		if part == jm.Role || part == jm.REST || part == jm.Host || strings.HasPrefix(jm.ID, part) || strings.HasSuffix(jm.ID, part) {
			found = append(found, jm)
		}
		names = append(names, fmt.Sprintf("%s at %s (%s)", jm.ID, jm.REST, jm.Role))
	}
	if len(found) != 1 {
		return client.JobManager{}, fmt.Errorf("%d JobManagers are called %q; there are %s", len(found), part, strings.Join(names, ", "))
	}
	return found[0], nil
}
