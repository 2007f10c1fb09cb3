package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/storage"
)

// inspectCommand looks at a savepoint's files alone: it needs no cluster.
func inspectCommand(g *global) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect PATH", Short: "Tell what a savepoint holds: operators, states, schemas, sizes and key groups", Args: exactly("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := location(args[0])
			if err != nil {
				return err
			}
			c, err := g.load()
			if err != nil {
				return err
			}
			s, err := storage.OpenSavepoint(cmd.Context(), s3Server(c).Complete(path))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.Inventory())
			}
			return printInventory(cmd.OutOrStdout(), s.Location(), s.Inventory())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printInventory(w io.Writer, location string, inv checkpoint.Inventory) error {
	fmt.Fprintf(w, "savepoint %s\n", location)
	fmt.Fprintf(w, "of job %s (%s), checkpoint %d, %s\n", inv.Name, inv.Job, inv.Checkpoint, inv.Taken)
	fmt.Fprintf(w, "%d bytes of state, %d key groups\n\n", inv.Size, inv.KeyGroups)
	states := [][]any{{"OPERATOR", "PARALLELISM", "STATE", "KIND", "BYTES", "SCHEMA"}}
	pieces := [][]any{{"OPERATOR", "STATE", "SUBTASK", "KEY GROUPS", "BYTES"}}
	for _, op := range inv.Operators {
		for _, s := range op.States {
			states = append(states, []any{op.Name, op.Parallelism, s.Name, s.Kind, s.Size, s.Schema})
			for _, p := range s.Pieces {
				groups := any("-")
				if p.First != nil {
					groups = fmt.Sprintf("%d-%d", *p.First, *p.Last)
				}
				pieces = append(pieces, []any{op.Name, s.Name, p.Subtask, groups, p.Size})
			}
		}
	}
	if err := table(w, states); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return table(w, pieces)
}
