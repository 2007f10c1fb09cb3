package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/daemon"
	"github.com/perennial-io/perennial/internal/launch"
)

// The commands here are what the scripts of bin/ become. They are hidden: the scripts are their
// documented face, and their help is the scripts'.

// launcher is made of the configuration as it is now. What only looks and stops does without one
// that cannot be read: it may have been changed since the start.
func (g *global) launcher(action string) (*launch.Launcher, error) {
	c, err := g.load()
	if err != nil && (action == "start" || action == "start-foreground") {
		return nil, err
	}
	// Whoever reads what is said may go, as head does; what was begun is still done.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return nil, err
	}
	conf := g.confDir
	if conf != "" {
		if conf, err = filepath.Abs(conf); err != nil {
			return nil, err
		}
	}
	return &launch.Launcher{Binary: self, ConfDir: conf, Config: c, Overrides: g.overrides, Environ: os.Environ(), Out: os.Stdout, Warn: os.Stderr}, nil
}

// script is a hidden command with the help of the script that becomes it.
func script(cmd *cobra.Command, help string) *cobra.Command {
	cmd.Hidden = true
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprint(cmd.OutOrStdout(), help) })
	return cmd
}

func daemonCommand(g *global) *cobra.Command {
	parent := &cobra.Command{Use: "daemon", Hidden: true}
	for role, help := range map[string]string{launch.JobManager: jobManagerHelp, launch.TaskManager: taskManagerHelp, launch.ZooKeeper: zooKeeperHelp} {
		var drained bool
		var drain draining
		cmd := script(&cobra.Command{
			Use: role, Args: cobra.ArbitraryArgs,
			RunE: func(cmd *cobra.Command, args []string) error {
				action, label, err := daemonArguments(role, args)
				if err == nil && ((drain.force || cmd.Flags().Changed("timeout")) && !drained || drained && action != "stop") {
					err = fmt.Errorf("%s.sh %s: --drain is for stop, --force and --timeout for stop --drain", role, action)
				}
				if err != nil {
					return usageError{err}
				}
				l, err := g.launcher(action)
				if err != nil {
					return err
				}
				if drained {
					return l.StopDrained(cmd.Context(), label, func(ctx context.Context, i daemon.Instance) error { return g.drainHere(ctx, i, drain) })
				}
				return runDaemon(cmd.Context(), l, action, role, label)
			},
		}, help)
		if role == launch.TaskManager {
			cmd.Flags().BoolVar(&drained, "drain", false, "have jobs leave it first")
			drain.flags(cmd, "with --drain: ")
		}
		parent.AddCommand(cmd)
	}
	return parent
}

var daemonActions = []string{"start", "start-foreground", "stop", "stop-all", "status"}

// daemonArguments reads ACTION [HOST] [REST-PORT], or ACTION N of a ZooKeeper server, as the label of an
// instance.
func daemonArguments(role string, args []string) (action, label string, err error) {
	actions, most := daemonActions, map[string]int{launch.JobManager: 3, launch.TaskManager: 2, launch.ZooKeeper: 2}[role]
	what := role + ".sh"
	if len(args) == 0 || !slices.Contains(actions, args[0]) {
		return "", "", fmt.Errorf("%s %s: expected one of %s; %s --help tells more", what, quoted(args), strings.Join(actions, ", "), what)
	}
	action, rest := args[0], args[1:]
	number := false // what comes first
	if len(rest) > 0 {
		n, err := strconv.Atoi(rest[0])
		if number = err == nil; number && role == launch.ZooKeeper {
			rest[0] = strconv.Itoa(n) // 01 is 1
		}
	}
	switch {
	case action == "stop-all" && len(rest) > 0:
		return "", "", fmt.Errorf("%s stop-all takes no argument and got %s", what, quoted(rest))
	case len(args) > most:
		return "", "", fmt.Errorf("%s %s: too many arguments, %s; %s --help tells more", what, action, quoted(rest), what)
	case role == launch.ZooKeeper && len(rest) == 0 && action != "stop-all" && action != "status":
		return "", "", fmt.Errorf("%s %s: of which server? Expected the number N of a line server.N in zoo.cfg", what, action)
	case number && role != launch.ZooKeeper:
		return "", "", fmt.Errorf("%s %s: %q is no host, which comes first; %s --help tells more", what, action, rest[0], what)
	case len(rest) == 2:
		return action, launch.Label(rest[0], rest[1]), nil
	case len(rest) == 1:
		return action, rest[0], nil
	}
	return action, "", nil
}

func runDaemon(ctx context.Context, l *launch.Launcher, action, role, label string) error {
	switch action {
	case "start":
		return l.Start(ctx, role, label)
	case "start-foreground":
		return l.Exec(role, label)
	case "stop":
		return l.Stop(ctx, role, label)
	case "stop-all":
		return l.StopAll(ctx, role)
	}
	return l.Status(ctx, role, label)
}

func clusterCommand(g *global) *cobra.Command {
	parent := &cobra.Command{Use: "cluster", Hidden: true}
	var cancelJobs bool
	stop := script(&cobra.Command{Use: "stop", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		l, err := g.launcher("start")
		if err != nil {
			return err
		}
		if cancelJobs {
			if err := g.withClient(cmd.Context(), cancelAll); err != nil {
				return fmt.Errorf("jobs could not be cancelled, and nothing was stopped: %w; without --cancel-jobs the cluster is stopped, and its jobs go on at the next start", err)
			}
		}
		return l.StopCluster(cmd.Context())
	}}, stopClusterHelp)
	stop.Flags().BoolVar(&cancelJobs, "cancel-jobs", false, "cancel all jobs first")
	parent.AddCommand(stop, launching(g, "start", startClusterHelp, (*launch.Launcher).StartCluster))
	return parent
}

func launching(g *global, use, help string, do func(*launch.Launcher, context.Context) error) *cobra.Command {
	return script(&cobra.Command{Use: use, Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		l, err := g.launcher(use)
		if err != nil {
			return err
		}
		return do(l, cmd.Context())
	}}, help)
}

// hostCommand is one host's part of a cluster, as another host asks for it by ssh.
func hostCommand(g *global) *cobra.Command {
	return &cobra.Command{Use: "host", Hidden: true, Args: cobra.MinimumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		l, err := g.launcher(args[0])
		if err != nil {
			return err
		}
		return l.Act(cmd.Context(), args[0], args[1:])
	}}
}

// cancelAll ends every job and waits for its end.
func cancelAll(ctx context.Context, c *client.Client) error {
	ask, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	jobs, err := c.Jobs(ask)
	if err != nil {
		return err
	}
	var problems []error
	for _, j := range jobs {
		if j.State.Terminal() {
			continue
		}
		ended, err := cancelJob(ctx, c, string(j.ID))
		if err != nil {
			problems = append(problems, fmt.Errorf("job %s: %w", j.ID.Short(), err))
			continue
		}
		fmt.Printf("job %s is %s\n", ended.ID, ended.State)
	}
	return errors.Join(problems...)
}
