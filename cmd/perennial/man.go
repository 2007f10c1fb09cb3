package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/perennial-io/perennial/internal/build"
)

// scripts is the help of every script of bin/.
var scripts = map[string]string{
	"jobmanager.sh": jobManagerHelp, "taskmanager.sh": taskManagerHelp, "zookeeper.sh": zooKeeperHelp,
	"start-cluster.sh": startClusterHelp, "stop-cluster.sh": stopClusterHelp,
	"start-zookeeper-quorum.sh": startQuorumHelp, "stop-zookeeper-quorum.sh": stopQuorumHelp,
}

// manCommand writes the manual pages of all commands and scripts, for the distribution.
func manCommand(root *cobra.Command) *cobra.Command {
	var date string
	cmd := &cobra.Command{Use: "man DIR", Hidden: true, Args: exactly("DIR"), RunE: func(_ *cobra.Command, args []string) error {
		at, err := time.Parse(time.DateOnly, date)
		if err != nil {
			return usageError{fmt.Errorf("man --date %q: expected a date such as 2026-11-28", date)}
		}
		root.DisableAutoGenTag = true
		root.PersistentFlags().Lookup("conf").DefValue = "conf, beside bin" // and not where this program is
		header := &doc.GenManHeader{Section: "1", Date: &at, Source: "Perennial " + build.Version, Manual: "Perennial"}
		if err := doc.GenManTree(root, header, args[0]); err != nil {
			return err
		}
		for name, help := range scripts {
			if err := os.WriteFile(filepath.Join(args[0], name+".1"), []byte(scriptPage(name, help, at)), 0o644); err != nil {
				return err
			}
		}
		return nil
	}}
	cmd.Flags().StringVar(&date, "date", "", "day of the release")
	return cmd
}

// scriptPage is a script's help as a manual page.
func scriptPage(name, help string, at time.Time) string {
	escape := strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'").Replace
	first, rest, _ := strings.Cut(help, "\n")
	return fmt.Sprintf(".TH %q 1 %q %q Perennial\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n%s.fi\n.SH SEE ALSO\nperennial(1)\n",
		strings.ToUpper(name), at.Format("January 2006"), "Perennial "+build.Version, escape(name), escape(strings.ToLower(first[:1])+strings.TrimSuffix(first[1:], ".")), escape(rest))
}
