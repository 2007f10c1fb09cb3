package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
)

// drainInterval is how often a TaskManager that is drained is asked after, drainSilence how long nothing is said of what it waits
// for, and drainReminder how long it is not said again.
const (
	drainInterval = 100 * time.Millisecond
	drainSilence  = 3 * time.Second
	drainReminder = 30 * time.Second
)

// draining is what the flags of a drain say.
type draining struct {
	force bool
	limit time.Duration
}

// flags are those of every command that drains.
func (d *draining) flags(cmd *cobra.Command, with string) {
	f := cmd.Flags()
	f.BoolVar(&d.force, "force", false, with+"stop what is there at once, and let it wait for slots")
	f.DurationVar(&d.limit, "timeout", time.Hour, with+"how long to wait for the end; the drain itself goes on")
}

func drainCommand(g *global) *cobra.Command {
	var d draining
	cmd := &cobra.Command{
		Use: "drain ID", Short: "Have jobs leave a TaskManager, which ends then", Args: exactly("ID"),
		Long: `Drain gives no slot of a TaskManager away any more, moves what runs there to other TaskManagers, each job from a checkpoint that is
taken for it, and has the TaskManager end. Other parts of a job run on, and nothing of it counts as a restart. It is refused if
there are too few slots elsewhere. It goes on if this command, or a JobManager, ends; typed again, it waits for the same.
With --force jobs stop there at once, continue from their newest checkpoints, and wait for slots if there are too few.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				find, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
				defer cancel()
				t, err := c.ResolveTaskManager(find, args[0])
				if err == nil {
					err = d.drain(ctx, c, t)
				}
				return err
			})
		},
	}
	d.flags(cmd, "")
	return cmd
}

// drain drains a TaskManager, and waits until it is gone, and whether that was in order.
func (d draining) drain(ctx context.Context, c *client.Client, t client.TaskManager) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.limit, fmt.Errorf("it has not ended within %v", d.limit))
	defer cancel()
	if err := c.Drain(ctx, t.ID, d.force); err != nil {
		return err
	}
	p := drainTale{c: c, last: time.Now()}
	err := c.WaitGone(ctx, t.ID, drainInterval, func(now client.TaskManager) { p.tell(ctx, now) })
	if err == nil {
		err = c.Drain(ctx, t.ID, d.force)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "perennial: TaskManager %s is drained on, and ends then, whether anybody waits or not; perennial taskmanagers tells what is left there\n", t.ID)
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	fmt.Printf("TaskManager %s on %s has ended\n", t.ID, t.Host)
	return nil
}

// drainTale tells for what a drain waits: soon, when that changes, and from time to time.
type drainTale struct {
	c    *client.Client
	said string
	last time.Time // that something was said, or that it began
}

func (p *drainTale) tell(ctx context.Context, t client.TaskManager) {
	since := time.Since(p.last)
	if since < drainSilence {
		return
	}
	var waits []string
	for _, id := range t.Jobs {
		if j, err := p.c.Job(ctx, id); err == nil {
			waits = append(waits, waitsFor(j))
		}
	}
	text := fmt.Sprintf("jobs still have slots on TaskManager %s: %s", t.ID, strings.Join(waits, "; "))
	if len(t.Jobs) == 0 {
		text = fmt.Sprintf("no job has slots on TaskManager %s any more, and it is told to end", t.ID)
	}
	if text != p.said || since > drainReminder {
		fmt.Fprintln(os.Stderr, "perennial:", text)
		p.said, p.last = text, time.Now()
	}
}

// waitsFor says why a job has not moved yet.
func waitsFor(j client.Job) string {
	if j.SlotsMissing > 0 {
		return fmt.Sprintf("job %s is %s and waits for %d more slots elsewhere: start TaskManagers, or drain with --force", j.ID.Short(), j.State, j.SlotsMissing)
	}
	return fmt.Sprintf("job %s is %s, and is to have a checkpoint before it moves", j.ID.Short(), j.State)
}

// drainHere drains a TaskManager that was started on this host: the one with its process id and one of the names that
// this host has.
func (g *global) drainHere(ctx context.Context, i daemon.Instance, d draining) error {
	conf, err := g.load()
	if err != nil {
		return err
	}
	names := []string{i.Label, conf.String(config.TaskManagerHost)}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	return g.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		ask, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
		defer cancel()
		list, err := c.TaskManagers(ask)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(t client.TaskManager) bool { return t.PID == i.PID && slices.Contains(names, t.Host) })
		if at < 0 {
			return errors.New("the leader knows no TaskManager with this host and process id: it is not connected, or has another taskmanager.host than the configuration says. " +
				"Nothing was stopped; perennial taskmanagers lists those that there are, and perennial taskmanager drain ID drains one")
		}
		return d.drain(ctx, c, list[at])
	})
}
