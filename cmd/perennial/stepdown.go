package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
)

func stepDownCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "step-down", Short: "Have the leading JobManager hand leadership over to a standby", Args: exactly(),
		Long: `Step-down ends the term of the JobManager that leads, so that one that stands by leads some milliseconds later: before its host
is worked on, say. No task notices, and no call of a client fails. Without a standby it is refused, and nothing happens.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
				defer cancel()
				before, err := leader(ctx, c)
				if err != nil {
					return err
				}
				if err := c.StepDown(ctx, before.Epoch); err != nil {
					return err
				}
				after, err := successor(ctx, c, before)
				if err != nil {
					return fmt.Errorf("JobManager %s has stepped down, and who leads now is not known: %w", before.ID, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "JobManager %s at %s leads under epoch %d, in place of %s", after.ID, after.REST, after.Epoch, before.ID)
				if t := after.Takeover; t != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "; taking over took %.1f ms", t.Millis())
				}
				fmt.Fprintln(cmd.OutOrStdout())
				return nil
			})
		},
	}
}

// leader is who leads now.
func leader(ctx context.Context, c *client.Client) (client.JobManager, error) {
	list, err := c.JobManagers(ctx)
	if err != nil {
		return client.JobManager{}, err
	}
	return list[0], nil // the one that answered
}

// successor waits until somebody leads under a later epoch.
func successor(ctx context.Context, c *client.Client, before client.JobManager) (client.JobManager, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		after, err := leader(ctx, c)
		if err != nil || after.Epoch > before.Epoch {
			return after, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return after, context.Cause(ctx)
		}
	}
}
