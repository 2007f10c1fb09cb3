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
	"github.com/perennial-io/perennial/internal/launch"
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
	findings := []diagnose.Finding{{Check: "configuration", About: cmp.Or(l.ConfDir, "environment and -D"), OK: true, Text: "can be read"}}
	cl := client.New(locator(c))
	defer cl.Close()
	if here, err := thisHost(c, l, cl); err != nil {
		findings = append(findings, diagnose.Finding{Check: "directory", About: "this host", Text: err.Error(), Advice: "mend it; nothing else of this host was looked at"})
	} else {
		findings = append(findings, here.Check(ctx)...)
	}
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

// thisHost is what there is to check here: in the data directory, which becomes this process's as it does a JobManager's.
func thisHost(c *config.Config, l *launch.Launcher, cl *client.Client) (h diagnose.Host, err error) {
	place, err := l.Place()
	if err == nil {
		err = l.Enter()
	}
	h = diagnose.Host{
		Config: c, ConfDir: l.ConfDir, Self: cl.Self,
		Directories: []diagnose.Directory{{Key: "PERENNIAL_DATA_DIR", Path: place.Dir}, {Key: "PERENNIAL_LOG_DIR", Path: place.Logs}, {Key: "PERENNIAL_PID_DIR", Path: place.PIDs},
			{Key: string(config.TaskManagerDir), Path: c.String(config.TaskManagerDir)}},
		Storage: func(ctx context.Context) (inspect.Tokens, error) { return openStorage(ctx, c) },
	}
	if err == nil {
		h.Servers, err = serversOf(c)
	}
	return h, err
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
