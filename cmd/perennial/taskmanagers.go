package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
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
