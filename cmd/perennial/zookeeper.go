package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/internal/config"
)

func zooKeeperCommand(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "zookeeper", Short: "Look at the ZooKeeper ensemble",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(zooKeeperCheckCommand(g))
	return cmd
}

func zooKeeperCheckCommand(g *global) *cobra.Command {
	var asJSON bool
	var adminPort uint16
	cmd := &cobra.Command{
		Use: "check", Short: "Tell what the ZooKeeper ensemble, and this cluster's znodes, look like from here", Args: exactly(),
		Long: `Check connects to each server of zookeeper.quorum as a JobManager would, with its TLS and its authentication, and changes nothing. It
tells which servers there are, what session timeout they grant and how fast they answer, what the znodes of this cluster say, and what is
wrong, with what to do. Servers are also asked srvr, conf and, at --admin-port, their admin server; what they do not tell is said.

Exit status: 0 nothing to warn of, 1 an error (a JobManager would not work), 2 wrong usage or configuration, 3 warnings.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			if c.String(config.ZooKeeperQuorum) == "" {
				return usageError{errors.New("zookeeper check: zookeeper.quorum is not set, so there is no ensemble to look at")}
			}
			r, err := zookeeper.Inspect(cmd.Context(), zooKeeper(c, slog.New(slog.DiscardHandler)), int(adminPort))
			if err != nil {
				return usageError{err}
			}
			if asJSON {
				err = printJSON(r)
			} else {
				err = printEnsemble(cmd.OutOrStdout(), r)
			}
			return cmp.Or(err, verdict(r.Findings))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().Uint16Var(&adminPort, "admin-port", 8080, "where the servers' admin servers listen; 0: they are not asked")
	return cmd
}

// warnedError ends a command that has found something to warn of, and no error.
type warnedError struct{ error }

// verdict is the exit status that findings make, as an error.
func verdict(found []zookeeper.Finding) error {
	count := map[zookeeper.Level]int{}
	for _, f := range found {
		count[f.Level]++
	}
	switch told := fmt.Errorf("zookeeper check: errors: %d, warnings: %d", count[zookeeper.Error], count[zookeeper.Warning]); {
	case count[zookeeper.Error] > 0:
		return told
	case count[zookeeper.Warning] > 0:
		return warnedError{told}
	}
	return nil
}

func printEnsemble(w io.Writer, r zookeeper.Report) error {
	rows := [][]any{{"SERVER", "VERSION", "MODE", "SESSION-MS", "READ-MS", "QUORUM-MS", "TICK-MS", "FORCESYNC"}}
	for _, s := range r.Servers {
		rows = append(rows, []any{s.Server, orDash(s.Version), orDash(s.Mode), orDash(s.GrantedMillis), orDash(s.ReadMillis), orDash(s.QuorumMillis), orDash(s.TickMillis), orDash(s.ForceSync)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, s := range r.Servers {
		for _, why := range s.NotTold {
			fmt.Fprintf(w, "%s does not tell %s\n", s.Server, why)
		}
	}
	for _, m := range r.Members {
		fmt.Fprintf(w, "member %s\n", m)
	}
	printZnodes(w, r)
	fmt.Fprintln(w)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n", f.Level, f.Text)
	}
	return nil
}

func printZnodes(w io.Writer, r zookeeper.Report) {
	c := r.Cluster
	fmt.Fprintf(w, "\ncluster %s", r.Node)
	if !c.Exists || c.Format == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, ": format %d, epoch %d, %d epochs remembered\n", c.Format, c.Epoch, c.History)
	if c.Epoch > 0 {
		state := "leads"
		if !c.Alive {
			state = "led, and is gone"
		}
		fmt.Fprintf(w, "  %s %s: %s\n", c.Leader, state, strings.TrimSpace(c.LeaderData))
	}
	for _, m := range c.Members {
		fmt.Fprintf(w, "  %s is up: %s\n", m.ID, strings.TrimSpace(m.Data))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Below)) {
		fmt.Fprintf(w, "  %s: %d znodes\n", name, c.Below[name])
	}
}
