package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// followInterval is how often a job that is followed is asked after.
const followInterval = 250 * time.Millisecond

type runOptions struct {
	detached    bool
	parallelism int
	json        bool
	savepoint   string
	dropped     bool   // state that no operator takes
	upgrade     string // the job that the binary takes over, or ""
}

func runCommand(g *global) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] JOB [-- ARGS...]",
		Short: "Submit a job: a directory with a Go package main, or a binary",
		Long: `Run builds JOB if it is a directory, uploads it once, submits it with ARGS and follows it to its end.
The job belongs to the cluster from the moment it is accepted: interrupting this command leaves it running.
With -d, the job's id is printed alone on standard output once the job runs or waits for slots.

With --from-savepoint the job continues from a savepoint: state is found by operator and state name. With --upgrade JOB takes over
the state of a running job, under that one's id: whatever cannot be continued is refused before the running job is stopped. Its
arguments are ARGS, or, if there are none, those of the running job. A job whose new binary fails has failed: to be able to go back,
make a savepoint first.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("run: which job? Give a directory with a Go package main, or a binary")}
			}
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.wrong(cmd.Flags().Changed); err != nil {
				return usageError{fmt.Errorf("run: %w", err)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				if o.upgrade != "" {
					return upgrade(ctx, c, o, args[0], args[1:])
				}
				return run(ctx, c, o, args[0], args[1:])
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.detached, "detached", "d", false, "print the job's id and return once it runs")
	flags.IntVarP(&o.parallelism, "parallelism", "p", 0, "subtasks per operator (default: what the job says, or 1)")
	flags.BoolVar(&o.json, "json", false, "print the job at its end as JSON")
	flags.StringVar(&o.savepoint, "from-savepoint", "", "continue from this savepoint: its directory, as savepoint and stop print it")
	flags.BoolVar(&o.dropped, "allow-dropped-state", false, "go on without state that no operator of the job takes")
	flags.StringVar(&o.upgrade, "upgrade", "", "take over the state of this running `job`, and its id")
	flags.SetInterspersed(false) // what follows JOB is the job's
	return cmd
}

// wrong says what does not fit together. What is given and empty, as of a script's variable that was never set, is a mistake: the
// job would begin without its state.
func (o runOptions) wrong(given func(flag string) bool) error {
	switch {
	case given("parallelism") && o.parallelism < 1:
		return fmt.Errorf("-p %d: expected 1 or more subtasks", o.parallelism)
	case given("from-savepoint") && o.savepoint == "":
		return errors.New(`--from-savepoint "": expected the directory that perennial savepoint or stop has printed; leave it out to begin without state`)
	case given("upgrade") && o.upgrade == "":
		return errors.New(`--upgrade "": expected the id of a running job`)
	case o.upgrade != "" && o.savepoint != "":
		return errors.New("--upgrade continues from the running job's own state; leave out --from-savepoint")
	case o.dropped && o.upgrade == "" && o.savepoint == "":
		return errors.New("--allow-dropped-state goes with --from-savepoint or --upgrade; a job that continues from neither has no state to drop")
	}
	return nil
}

func run(ctx context.Context, c *client.Client, o runOptions, path string, args []string) error {
	id, err := submit(ctx, c, o, path, args)
	if err != nil {
		return err
	}
	if o.detached {
		return detach(ctx, c, id)
	}
	return follow(ctx, c, id, o.json)
}

func submit(ctx context.Context, c *client.Client, o runOptions, path string, args []string) (client.ID, error) {
	savepoint, err := location(o.savepoint)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, fmt.Errorf("nothing happened for 5 minutes"))
	defer cancel()
	artifact, name, err := upload(ctx, c, path)
	if err != nil {
		return "", err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	j, err := c.Submit(ctx, client.Spec{
		ID: client.NewID(), Name: name, Artifact: artifact, Args: args, Dir: dir, Parallelism: o.parallelism,
		Savepoint: savepoint, AllowDropped: o.dropped, Continues: savepoint != "",
	})
	return j.ID, err
}

// upload makes a binary of path, if it is none, and uploads it.
func upload(ctx context.Context, c *client.Client, path string) (artifact, name string, err error) {
	cluster, err := askCluster(ctx, c)
	if err != nil {
		return "", "", err
	}
	tmp, err := os.MkdirTemp("", "perennial-job-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(tmp)
	binary, err := client.Build(ctx, path, tmp, cluster)
	if err != nil {
		return "", "", err
	}
	artifact, err = c.Upload(ctx, binary)
	if err != nil {
		return "", "", fmt.Errorf("upload %s: %w", binary, err)
	}
	return artifact, filepath.Base(binary), nil
}

// upgrade has a new binary take over a running job.
func upgrade(ctx context.Context, c *client.Client, o runOptions, path string, args []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Hour, errSlow)
	defer cancel()
	id, err := resolve(ctx, c, o.upgrade)
	if err != nil {
		return err
	}
	artifact, _, err := upload(ctx, c, path)
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	r, err := c.Change(ctx, id, client.Change{Parallelism: o.parallelism, Artifact: artifact, Args: args, Dir: dir, AllowDropped: o.dropped})
	if err != nil {
		return explain("upgrade", id, err)
	}
	if o.json {
		return printJSON(r)
	}
	fmt.Fprintln(os.Stderr, changed(r)+notes(r))
	if o.detached {
		fmt.Println(id)
		return nil
	}
	return follow(ctx, c, id, false)
}

// askCluster fails soon when nobody answers: a build would only delay the message.
func askCluster(ctx context.Context, c *client.Client) (client.Cluster, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	return c.Cluster(ctx)
}

// detach prints the id as soon as the job is on its way: running, ended, or waiting for slots.
func detach(ctx context.Context, c *client.Client, id client.ID) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fmt.Println(id)
	var seen client.Job // what Wait returns after cancel is no news of the job
	_, err := c.Wait(ctx, id, 20*time.Millisecond, func(j client.Job) {
		seen = j
		if j.SlotsMissing > 0 {
			fmt.Fprintf(os.Stderr, "job %s %s\n", id.Short(), missingSlots(j))
		}
		if j.State != job.Created || j.SlotsMissing > 0 {
			cancel()
		}
	})
	if notes := seen.Checkpoints.Notes; len(notes) > 0 {
		fmt.Fprintln(os.Stderr, strings.Join(notes, "\n"))
	}
	switch {
	case seen.State == job.Failed:
		return fmt.Errorf("job %s failed: %s", id.Short(), strings.TrimSpace(seen.Failure))
	case seen.State == "" || seen.State == job.Created && seen.SlotsMissing == 0:
		return err
	}
	return nil
}

func follow(ctx context.Context, c *client.Client, id client.ID, asJSON bool) error {
	p := newProgress(os.Stderr)
	fmt.Fprintf(os.Stderr, "job %s: perennial cancel %s ends it\n", id, id.Short())
	c.Waiting = func(reason error, _ time.Time) {
		p.say(fmt.Sprintf("%s; the job's tasks do not need one (%v)", absent(reason), reason))
	}
	j, err := c.Wait(ctx, id, followInterval, p.show)
	p.done()
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted; the job goes on: perennial info %s, or cancel %s", id.Short(), id.Short())
	}
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(j); err != nil {
			return err
		}
	}
	switch j.State {
	case job.Failed:
		return fmt.Errorf("job %s failed: %s", id.Short(), strings.TrimSpace(j.Failure))
	case job.Canceled:
		return fmt.Errorf("job %s was canceled", id.Short())
	}
	fmt.Fprintf(os.Stderr, "job %s finished in %s\n", id.Short(), j.Finished.Sub(j.Submitted).Round(time.Millisecond))
	return nil
}
