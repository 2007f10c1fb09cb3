package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination/zookeeper"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/diagnose"
	"github.com/perennial-io/perennial/internal/inspect"
)

func doctorCommand(g *global) *cobra.Command {
	var asJSON, running bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check a configuration and its hosts, before a start and after", Args: exactly(),
		Long: `Checks what this host can tell: files, names, directories, storage, ports, the quorum. If a JobManager leads it goes on with what the
processes see from where they are: who reaches whom, one storage for all, clocks, releases. Each line is OK, or says what to do; the exit
status is 1 if one is not OK.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := examine(cmd.Context(), g, running)
			if asJSON {
				if err := printJSON(findings); err != nil {
					return err
				}
			} else if err := printFindings(os.Stdout, findings); err != nil {
				return err
			}
			if n := len(slices.DeleteFunc(findings, func(f diagnose.Finding) bool { return f.OK })); n > 0 {
				return fmt.Errorf("doctor: %d of these are wrong", n)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&running, "running", false, "the cluster is to run: that no JobManager leads is wrong")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func examine(ctx context.Context, g *global, running bool) []diagnose.Finding {
	c, err := g.load()
	if err != nil {
		return []diagnose.Finding{{Check: "configuration", About: cmp.Or(g.confDir, "environment and -D"), Text: err.Error(), Advice: "mend it; docs/configuration.md has every key"}}
	}
	l, err := g.launcher("status")
	if err != nil {
		return []diagnose.Finding{{Check: "configuration", About: "this program", Text: err.Error(), Advice: "unpack the archive anew"}}
	}
	servers, err := serversOf(c)
	if err != nil {
		return []diagnose.Finding{{Check: "configuration", About: string(config.ZooKeeperQuorum), Text: err.Error(), Advice: "mend it; docs/configuration.md has every key"}}
	}
	if dir, err := l.DataDir(); err == nil {
		_ = os.Chdir(dir) // relative paths are in it, once there is one
	}
	findings := []diagnose.Finding{{Check: "configuration", About: cmp.Or(l.ConfDir, "environment and -D"), OK: true, Text: "can be read"}}
	cl := client.New(locator(c))
	defer cl.Close()
	host := diagnose.Host{
		Config: c, ConfDir: l.ConfDir, LogDir: cmp.Or(os.Getenv("PERENNIAL_LOG_DIR"), "log"), Servers: servers, Self: cl.Self,
		Storage: func(ctx context.Context) (inspect.Tokens, error) { return openStorage(ctx, c) },
	}
	findings = append(findings, host.Check(ctx)...)
	var expected []string
	if c.String(config.HighAvailability) != "none" {
		expected = c.List(config.JobManagers)
	}
	of, err := diagnose.Cluster(ctx, cl, expected)
	switch {
	case err != nil && running:
		of = []diagnose.Finding{{Check: "jobmanager", About: "the leader", Text: err.Error(), Advice: "start the cluster, or look into the logs of its JobManagers. " + whereabouts(c)}}
	case err != nil:
		of = []diagnose.Finding{{Check: "jobmanager", About: "the leader", OK: true, Text: "none answers, so only this host was looked at; --running takes that for a mistake"}}
	}
	return append(findings, of...)
}

// serversOf are the servers of coordination, host:port.
func serversOf(c *config.Config) (servers []string, err error) {
	switch c.String(config.HighAvailability) {
	case "zookeeper":
		servers, _, err = zookeeper.ParseServers(c.String(config.ZooKeeperQuorum))
	case "etcd":
		servers = c.List(config.EtcdEndpoints)
	}
	return servers, err
}

func printFindings(w io.Writer, findings []diagnose.Finding) error {
	rows := [][]any{}
	for _, f := range findings {
		verdict, text := "OK", f.Text
		if !f.OK {
			verdict = "WRONG"
			text += " -> " + f.Advice
		}
		rows = append(rows, []any{verdict, f.Check, f.About, text})
	}
	return table(w, rows)
}
