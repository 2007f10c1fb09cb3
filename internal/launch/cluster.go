package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/hosts"
)

// hostTime bounds what one host may take, ssh included: it exceeds stopTime and startTime.
const hostTime = time.Minute

// StartCluster starts the JobManagers and then the TaskManagers that do not run.
func (l *Launcher) StartCluster(ctx context.Context) error {
	masters, workers, err := l.cluster()
	if err != nil {
		return err
	}
	if len(workers) == 0 {
		fmt.Fprintf(l.Warn, "no TaskManager is started: %s lists no host\n", filepath.Join(l.ConfDir, "workers"))
	}
	all := slices.Concat(masters, workers)
	l.warnLoopback(hosts.Group(ctx, all, hosts.IsLocal))
	return l.phases(ctx, "start", all) // at once: a host that does not answer holds up no other's processes
}

// StopCluster stops what StartCluster started: JobManagers first, so that none of them sees tasks
// go and restarts a job, or fails it, for that.
func (l *Launcher) StopCluster(ctx context.Context) error {
	masters, workers, err := l.cluster()
	if err != nil {
		return err
	}
	err = l.phases(ctx, "stop", masters, workers)
	isHere := func(e hosts.Entry) bool { return hosts.IsLocal(ctx, e.Host) }
	if !slices.ContainsFunc(masters, isHere) { // else it was told with the others
		err = errors.Join(err, l.left(ctx, JobManager))
	}
	if !slices.ContainsFunc(workers, isHere) {
		err = errors.Join(err, l.left(ctx, TaskManager))
	}
	return err
}

// cluster is the entries of the configuration.
func (l *Launcher) cluster() (masters, workers []hosts.Entry, err error) {
	c := l.Config
	list := []string{Label(c.String(config.JobManagerAddress), c.String(config.RestPort))}
	if mode := c.String(config.HighAvailability); mode != "none" {
		if list = c.List(config.JobManagers); len(list) == 0 {
			return nil, nil, Mistake{fmt.Errorf("high-availability is %s, and %s lists no JobManager: expected a line host or host:rest-port for each", mode, filepath.Join(l.ConfDir, "masters"))}
		}
	}
	for _, m := range list {
		host, _ := hostAndPort(m)
		if c.String(config.HighAvailability) == "none" {
			host = "localhost" // it is started here, whatever others call this host
		}
		masters = append(masters, hosts.Entry{Host: host, Name: JobManager + "@" + m})
	}
	if l.ConfDir == "" {
		return masters, nil, nil
	}
	if list, err = config.ReadWorkers(l.ConfDir); err != nil {
		return nil, nil, Mistake{err}
	}
	for _, w := range list {
		workers = append(workers, hosts.Entry{Host: w, Name: TaskManager + "@" + w})
	}
	return masters, workers, nil
}

// warnLoopback says what will keep hosts from reaching one another.
func (l *Launcher) warnLoopback(all []hosts.Host) {
	if len(all) == 0 || len(all) == 1 && all[0].Local {
		return
	}
	var bound []string
	for _, key := range []config.Name{config.RestBind, config.JobManagerBind, config.TaskManagerBind} {
		if isLoopback(l.Config.String(key)) {
			bound = append(bound, string(key))
		}
	}
	if len(bound) > 0 {
		fmt.Fprintf(l.Warn, "there are several hosts, and here %s is a loopback address, which others do not reach: set it in perennial.yaml, to 0.0.0.0 or a host's own address\n", strings.Join(bound, ", "))
	}
}

// StartQuorum starts the ZooKeeper servers of conf/zoo.cfg that do not run.
func (l *Launcher) StartQuorum(ctx context.Context) error { return l.quorum(ctx, "start") }

// StopQuorum stops them.
func (l *Launcher) StopQuorum(ctx context.Context) error { return l.quorum(ctx, "stop") }

func (l *Launcher) quorum(ctx context.Context, action string) error {
	e, err := l.ensemble()
	if err != nil {
		return err
	}
	voters := 0
	for _, s := range e.Servers {
		if s.Role != "observer" {
			voters++
		}
	}
	if voters > 0 && voters%2 == 0 && action == "start" {
		fmt.Fprintf(l.Warn, "an ensemble of %d voting ZooKeeper servers survives no more failures than one of %d: list an odd number in zoo.cfg\n", voters, voters-1)
	}
	var entries []hosts.Entry
	for _, s := range e.Servers {
		entries = append(entries, hosts.Entry{Host: s.Host, Name: ZooKeeper + "@" + strconv.Itoa(s.ID)})
	}
	return l.phases(ctx, action, entries)
}

// phases carries an action out on all hosts, for one list of entries after the other. Hosts that
// fail are named, and the others go on. None begins once ctx has ended.
func (l *Launcher) phases(ctx context.Context, action string, phases ...[]hosts.Entry) error {
	var failed []error
	for _, entries := range phases {
		if ctx.Err() != nil {
			return errors.Join(append(failed, context.Cause(ctx))...)
		}
		all := hosts.Group(ctx, entries, hosts.IsLocal)
		ctx, cancel := context.WithTimeoutCause(ctx, hostTime, fmt.Errorf("nothing was heard for %s", hostTime))
		hosts.Each(ctx, all, strings.Fields(l.env("PERENNIAL_SSH_OPTS")),
			func(ctx context.Context, h hosts.Host) (string, error) { return l.here(ctx, action, h.Names) },
			func(h hosts.Host) string { return l.script(action, h.Names) },
			func(r hosts.Result) {
				for line := range strings.Lines(r.Output) {
					fmt.Fprintf(l.Out, "%s: %s\n", r.Host, strings.TrimSpace(line))
				}
				if r.Err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", r.Host, r.Err))
				}
			})
		cancel()
	}
	return errors.Join(failed...)
}

// here is a host's part on this one.
func (l *Launcher) here(ctx context.Context, action string, entries []string) (said string, err error) {
	var out bytes.Buffer
	own := *l
	own.Out = &out
	err = own.Act(ctx, action, entries)
	return out.String(), err
}

// Act is what a host of the cluster does for start and stop.
func (l *Launcher) Act(ctx context.Context, action string, entries []string) error {
	switch action {
	case "start":
		return l.Ensure(ctx, entries)
	case "stop":
		return l.StopEntries(ctx, entries)
	}
	return fmt.Errorf("host %q: expected start or stop", action)
}

// notPassed are variables of this side that mean nothing on another.
var notPassed = map[string]bool{"PERENNIAL_SSH_OPTS": true, "PERENNIAL_CONF_DIR": true}

// script is what another host's shell does: the same command of the same distribution, configured
// as this side is.
func (l *Launcher) script(action string, entries []string) string {
	var b strings.Builder
	for _, e := range l.Environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "PERENNIAL_") || notPassed[name] {
			continue
		}
		if directories[name] {
			value = absolute(value)
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, hosts.Quote(value))
	}
	fmt.Fprintf(&b, "exec %s host %s", hosts.Quote(l.Binary), action)
	if l.ConfDir != "" {
		fmt.Fprintf(&b, " --conf %s", hosts.Quote(l.ConfDir))
	}
	for _, o := range l.Overrides {
		fmt.Fprintf(&b, " -D %s", hosts.Quote(o))
	}
	for _, e := range entries {
		fmt.Fprintf(&b, " %s", hosts.Quote(e))
	}
	return b.String() + "\n"
}

// directories are variables that may be relative to where a person stands.
var directories = map[string]bool{"PERENNIAL_DATA_DIR": true, "PERENNIAL_LOG_DIR": true, "PERENNIAL_PID_DIR": true}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}
