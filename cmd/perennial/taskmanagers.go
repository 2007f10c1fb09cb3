package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
)

// drainInterval is how often a TaskManager that is drained is asked after, and drainSilence how long it takes to tell
// for what it waits.
const (
	drainInterval = 100 * time.Millisecond
	drainSilence  = 3 * time.Second
)

func taskManagersCommand(g *global) *cobra.Command {
	return question(g, "taskmanagers", "List the TaskManagers: their slots and load, and since when each is in reach or not", exactly(), func(ctx context.Context, c *client.Client, _ []string) (answer, error) {
		list, err := c.TaskManagers(ctx)
		return answer{list, func(w io.Writer) error {
			rows := [][]any{{"ID", "HOST", "ADDRESS", "PID", "SLOTS", "FREE", "JOBS", "LOAD", "MEMORY", "VERSION", "STATE"}}
			for _, t := range list {
				load, memory := any("-"), any("-")
				if t.Load != nil {
					load, memory = fmt.Sprintf("%.2f", t.Load.Average), fmt.Sprintf("%d MiB", t.Load.Memory>>20)
				}
				rows = append(rows, []any{t.ID, t.Host, t.Address, orDash(t.PID), t.Slots, t.SlotsFree, len(t.Jobs), load, memory, orDash(t.Version), reach(t)})
			}
			return table(w, rows)
		}}, err
	})
}

// reach tells since when a TaskManager is in reach or not.
func reach(t client.TaskManager) string {
	since := t.Since.Local().Format(time.DateTime)
	state := "connected since " + since
	if !t.Connected {
		state = "out of reach since " + since
		if t.Dead != nil {
			state += ", declared dead at " + t.Dead.Local().Format(time.TimeOnly)
		}
	}
	if t.Draining {
		state += ", draining"
	}
	switch l := t.Lease; {
	case l == nil || l.Left == nil:
	case l.Paused:
		state += ", paused: its lease is over"
	default:
		state += fmt.Sprintf(", lease %.1fs of %gs left", *l.Left, l.Seconds)
	}
	return state
}

func drainCommand(g *global) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "drain ID", Short: "Have jobs leave a TaskManager, which ends then", Args: exactly("ID"),
		Long: `Drain gives no slot of a TaskManager away any more, moves what runs there to other TaskManagers, each job from a checkpoint that is
taken for it, and has the TaskManager end. Other parts of a job run on, and nothing of it counts as a restart. It is refused if
there are too few slots elsewhere. It goes on if this command, or a JobManager, ends.
With --force jobs stop there at once, continue from their newest checkpoints, and wait for slots if there are too few.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				find, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
				defer cancel()
				t, err := c.ResolveTaskManager(find, args[0])
				if err == nil {
					err = drain(ctx, c, t, force)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "stop what is there at once, and let it wait for slots")
	return cmd
}

// drain drains a TaskManager, and waits until it is gone.
func drain(ctx context.Context, c *client.Client, t client.TaskManager, force bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Hour, errSlow)
	defer cancel()
	if err := c.Drain(ctx, t.ID, force); err != nil {
		return err
	}
	began, told := time.Now(), false
	err := c.WaitGone(ctx, t.ID, drainInterval, func(now client.TaskManager) {
		if !told && time.Since(began) > drainSilence {
			told = true
			fmt.Fprintf(os.Stderr, "perennial: %d jobs still have slots on TaskManager %s: they wait for a checkpoint or for slots, as perennial info JOB tells\n", len(now.Jobs), t.ID)
		}
	})
	if err != nil {
		return fmt.Errorf("%w; TaskManager %s is drained on: perennial taskmanagers tells what is left there", err, t.ID)
	}
	fmt.Printf("TaskManager %s on %s has ended\n", t.ID, t.Host)
	return nil
}

// drainHere drains a TaskManager that was started on this host: the one with its process id and one of the names that
// this host has.
func (g *global) drainHere(ctx context.Context, i daemon.Instance, force bool) error {
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
		return drain(ctx, c, list[at], force)
	})
}
