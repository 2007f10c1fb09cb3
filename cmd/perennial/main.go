// Command perennial is everything in one binary: the JobManager, the TaskManager, and what a
// person types to run, list and cancel jobs. This package is flags and wiring; what is done is
// done in client, internal/jobmanager, internal/taskmanager and internal/demo.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
	"github.com/perennial-io/perennial/internal/launch"
)

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
	exitWarned = 3 // of a command that checks something
)

func main() {
	daemon.Adopt()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	err := newRoot().ExecuteContext(ctx)
	switch {
	case err == nil:
		return
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		fmt.Fprintln(os.Stderr, "perennial: interrupted")
	default:
		fmt.Fprintln(os.Stderr, "perennial:", err)
	}
	if errors.As(err, &usageError{}) || errors.As(err, &launch.Mistake{}) {
		os.Exit(exitUsage)
	}
	if errors.As(err, &warnedError{}) {
		os.Exit(exitWarned)
	}
	os.Exit(exitFailed)
}

// global is what every command takes.
type global struct {
	confDir   string
	overrides []string
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:           "perennial",
		Short:         "Streams whose jobs outlive the process that manages them",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&g.confDir, "conf", defaultConf(), "directory with perennial.yaml and masters")
	flags.StringArrayVarP(&g.overrides, "define", "D", nil, "configuration `key=value`, over file and environment")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		jobManagerCommand(g), taskManagerCommand(g),
		runCommand(g), listCommand(g), infoCommand(g), checkpointsCommand(g), cancelCommand(g),
		doctorCommand(g), logsCommand(g), profileCommand(g), checkpointCommand(g), savepointCommand(g), stopCommand(g), rescaleCommand(g),
		jobManagersCommand(g), stepDownCommand(g), failoversCommand(g), taskManagersCommand(g), zooKeeperCommand(g), metadataCommand(g),
		demoCommand(), versionCommand(),
		daemonCommand(g), clusterCommand(g), quorumCommand(g), hostCommand(g), manCommand(root),
	)
	checkBuiltIn(root)
	return root
}

// defaultConf is $PERENNIAL_CONF_DIR, or conf beside the directory of the binary, or none.
func defaultConf() string {
	if dir := os.Getenv("PERENNIAL_CONF_DIR"); dir != "" {
		return dir
	}
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Join(filepath.Dir(self), "..", "conf")
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return filepath.Clean(dir)
}

func (g *global) load() (*config.Config, error) {
	c, err := config.Load(g.confDir, os.Environ(), g.overrides)
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, nil
}
