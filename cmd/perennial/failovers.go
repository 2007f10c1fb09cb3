package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
)

func failoversCommand(g *global) *cobra.Command {
	cmd := question(g, "failovers", "List the changes of leader: when, why, and how long each step took", exactly(), func(ctx context.Context, c *client.Client, _ []string) (answer, error) {
		list, err := c.Failovers(ctx)
		return answer{list, func(w io.Writer) error { return table(w, failoverRows(list)) }}, err
	})
	cmd.Long = `Failovers lists the newest changes of leader, the latest first, at most 64. Milliseconds count from the moment at which the new leader gave the
one before up: to the epoch claimed, to what is committed read, to the TaskManagers asked what they run, to the last of them heard (adopted),
and to the API answering (serving). Epochs of which there is no record were claimed by JobManagers that were replaced, or died, before they had
adopted what ran.

CAUSE is connection (the leader's connection broke and its port refused another), heartbeat (it was silent), session (its session with
coordination ended), step-down (it handed over), first (nobody had led before), or unknown to the one that took over. REDEPLOYED are subtasks that no TaskManager ran where they
were committed to run. JOBS in brackets are those of which not every TaskManager was heard in time.`
	return cmd
}

func failoverRows(list []client.Takeover) [][]any {
	rows := [][]any{{"EPOCH", "AT", "LEADER", "CAUSE", "CLAIMED", "READ", "ASKED", "ADOPTED", "SERVING", "JOBS", "SUBTASKS", "REDEPLOYED", "REASON"}}
	for i, t := range list {
		if i > 0 && list[i-1].Epoch > t.Epoch+1 {
			missing := fmt.Sprint(t.Epoch + 1)
			if last := list[i-1].Epoch - 1; last > t.Epoch+1 {
				missing += fmt.Sprintf("-%d", last)
			}
			rows = append(rows, []any{missing, "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "no record: replaced, or dead, before what ran was adopted"})
		}
		jobs := fmt.Sprint(t.Jobs)
		if t.Unheard > 0 {
			jobs += fmt.Sprintf(" (%d)", t.Unheard)
		}
		reason := t.Reason
		if t.Previous != "" {
			reason = t.Previous + ": " + reason
		}
		rows = append(rows, []any{
			t.Epoch, t.At.Local().Format(time.DateTime), t.REST, t.Cause, tenths(t.ClaimMillis), tenths(t.ReadMillis), tenths(t.AskedMillis),
			tenths(t.AdoptedMillis), tenths(t.ServingMillis), jobs, t.Subtasks, t.Redeployed, reason,
		})
	}
	return rows
}

func tenths(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }
