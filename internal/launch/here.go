package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/daemon"
)

const (
	// in which a process is ready, or waits for others. It exceeds the 5 s in which a process waits
	// for a directory that another uses, and then ends.
	startTime = 10 * time.Second
	stopTime  = 15 * time.Second // in which a process ends, before it is killed
)

// Start starts one more instance of a role on this host.
func (l *Launcher) Start(ctx context.Context, role, label string) error {
	p, err := l.Place()
	if err != nil {
		return err
	}
	s, err := l.start(p, role, label, daemon.Request{})
	if err != nil {
		return err
	}
	return l.wait(ctx, []*daemon.Starting{s})
}

// start starts an instance of a role; r has what else there is to say of it.
func (l *Launcher) start(p daemon.Place, role, label string, r daemon.Request) (*daemon.Starting, error) {
	r.Role = role
	if role == ZooKeeper {
		_, s, err := l.server(label)
		if err != nil {
			return nil, err
		}
		r.Number = s.ID
	}
	r.Command = func(number int) (daemon.Command, error) { return l.Command(role, label, number) }
	s, err := p.Start(r)
	if err == nil && s.Stale != 0 {
		fmt.Fprintf(l.Out, "%s: a pid file was left by process %d, which has ended\n", s.Instance, s.Stale)
	}
	return s, err
}

// wait waits for all of them at once, and tells of each.
func (l *Launcher) wait(ctx context.Context, all []*daemon.Starting) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return together(len(all), func(i int) (string, error) {
		s := all[i]
		ready, err := s.Wait(ctx)
		switch {
		case err != nil && errors.Is(err, context.Cause(ctx)): // interrupted
			return fmt.Sprintf("%s is started as process %d, and whether it becomes ready was not waited for; log %s\n", s.Instance, s.PID, s.Log), err
		case err != nil:
			return "", err
		case !ready:
			return fmt.Sprintf("%s is started as process %d, and not ready yet: its log, %s, tells what it waits for; it ends:\n%s\n", s.Instance, s.PID, s.Log, s.LastLine()), nil
		}
		return fmt.Sprintf("%s is started as process %d; log %s\n", s.Instance, s.PID, s.Log), nil
	}, l.Out)
}

// together does n things at once, prints what they say in order, and joins their errors.
func together(n int, do func(i int) (string, error), out io.Writer) error {
	said, errs := make([]string, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { said[i], errs[i] = do(i) })
	}
	group.Wait()
	fmt.Fprint(out, strings.Join(said, ""))
	return errors.Join(errs...)
}

// Ensure starts, of the entries role@label of a cluster that belong to this host, those that do not
// run: an entry that stands there twice runs twice.
func (l *Launcher) Ensure(ctx context.Context, entries []string) error {
	p, err := l.Place()
	if err != nil {
		return err
	}
	var starting []*daemon.Starting
	var problems []error
	taken := map[string][]int{} // numbers of the instances that an entry of each role has
	count := countRoles(entries)
	for _, entry := range entries {
		role, label, ok := strings.Cut(entry, "@")
		if !ok || !slices.Contains([]string{JobManager, TaskManager, ZooKeeper}, role) {
			return fmt.Errorf("%q: expected jobmanager@host:rest-port, taskmanager@host or zookeeper@number", entry)
		}
		s, err := l.start(p, role, label, daemon.Request{Group: l.group(), Enough: func(all []daemon.Instance) (daemon.Instance, bool) {
			at := slices.IndexFunc(all, func(i daemon.Instance) bool {
				return i.Alive && l.isEntry(i, label, count[role]) && !slices.Contains(taken[role], i.Number)
			})
			if at < 0 {
				return daemon.Instance{}, false
			}
			return all[at], true
		}})
		var running daemon.RunningError
		switch {
		case errors.As(err, &running):
			taken[role] = append(taken[role], running.Number)
			fmt.Fprintln(l.Out, running)
		case err != nil:
			problems = append(problems, err)
		default:
			taken[role] = append(taken[role], s.Number)
			starting = append(starting, s)
		}
	}
	return errors.Join(append(problems, l.wait(ctx, starting))...)
}

// group is what a cluster's processes on a host are known by, beside their labels.
func (l *Launcher) group() string {
	return "cluster of " + cmp.Or(l.ConfDir, "no configuration directory")
}

// countRoles counts a host's entries role@label by role.
func countRoles(entries []string) map[string]int {
	count := map[string]int{}
	for _, entry := range entries {
		role, _, _ := strings.Cut(entry, "@")
		count[role]++
	}
	return count
}

// isEntry tells whether an instance is the entry with this label, of so many of its role on this host. A JobManager that was
// started by hand, or before the configuration had this host's name, is the one at its port; a TaskManager that was started by
// hand, without a name, is one if it has the number of one: it came when that one had been stopped.
func (l *Launcher) isEntry(i daemon.Instance, label string, entries int) bool {
	if i.Label == label {
		return true
	}
	host, port := hostAndPort(i.Label)
	_, wanted := hostAndPort(label)
	known := i.Group == "" || i.Group == l.group()
	return known && (i.Role == JobManager && port == wanted && isLoopback(host) || i.Role == TaskManager && i.Label == "" && i.Number <= entries)
}

// Stop stops the newest instance of a role that was started with this label, or with any if it is
// "". It fails if there is none with a label that was given.
func (l *Launcher) Stop(ctx context.Context, role, label string) error {
	return l.stop(ctx, role, label, newest(label))
}

// StopDrained stops the newest TaskManager with this label after it was drained, which has it end by itself. If drain fails
// nothing is stopped.
func (l *Launcher) StopDrained(ctx context.Context, label string, drain func(context.Context, daemon.Instance) error) error {
	p, all, err := l.list(TaskManager)
	if err != nil {
		return err
	}
	chosen := newest(label)(all)
	for _, i := range chosen {
		if err := drain(ctx, i); err != nil {
			return fmt.Errorf("%s, process %d: %w", i, i.PID, err)
		}
	}
	return l.end(ctx, p, TaskManager, label, chosen)
}

// newest chooses the newest instance that lives and was started with this label, or with any if it is "".
func newest(label string) func([]daemon.Instance) []daemon.Instance {
	return func(all []daemon.Instance) []daemon.Instance {
		for _, i := range slices.Backward(all) {
			if i.Alive && matches(i, label) {
				return []daemon.Instance{i}
			}
		}
		return nil
	}
}

// matches tells whether an instance was started with this label: a host without a port is one with
// any port, and "" anything.
func matches(i daemon.Instance, label string) bool {
	host, port := hostAndPort(i.Label)
	return label == "" || i.Label == label || port != "" && host == label
}

// StopAll stops every instance of a role on this host.
func (l *Launcher) StopAll(ctx context.Context, role string) error {
	return l.stop(ctx, role, "", func(all []daemon.Instance) []daemon.Instance { return all })
}

// StopEntries stops what Ensure started, as the labels say, and what it started for this cluster
// when its configuration was another. It says what else of the same roles runs.
func (l *Launcher) StopEntries(ctx context.Context, entries []string) error {
	labels := map[string][]string{}
	for _, entry := range entries {
		role, label, _ := strings.Cut(entry, "@")
		labels[role] = append(labels[role], label)
	}
	var problems []error
	for _, role := range []string{JobManager, TaskManager, ZooKeeper} {
		if len(labels[role]) == 0 || ctx.Err() != nil {
			continue
		}
		problems = append(problems, l.stop(ctx, role, "", func(all []daemon.Instance) []daemon.Instance {
			return slices.DeleteFunc(all, func(i daemon.Instance) bool {
				return i.Group != l.group() && !slices.ContainsFunc(labels[role], func(label string) bool { return l.isEntry(i, label, len(labels[role])) })
			})
		}), l.left(ctx, role))
	}
	return errors.Join(problems...)
}

// left says what of a role runs on this host after a cluster's were stopped.
func (l *Launcher) left(ctx context.Context, role string) error {
	if ctx.Err() != nil { // interrupted: some of it may be about to end
		return nil
	}
	_, all, err := l.list(role)
	for _, i := range all {
		if i.Alive {
			fmt.Fprintf(l.Out, "%s still runs, as process %d; %s.sh stop-all stops it\n", i, i.PID, role)
		}
	}
	return err
}

// list is the instances of a role on this host, and the place where they are.
func (l *Launcher) list(role string) (p daemon.Place, all []daemon.Instance, err error) {
	if p, err = l.Place(); err == nil {
		all, err = p.List(role)
	}
	return p, all, err
}

// stop stops those that are chosen. label is what they were asked for by.
func (l *Launcher) stop(ctx context.Context, role, label string, choose func([]daemon.Instance) []daemon.Instance) error {
	p, all, err := l.list(role)
	if err != nil {
		return err
	}
	return l.end(ctx, p, role, label, choose(all))
}

// end stops instances of a role, and tells of each. label is what they were asked for by, or "": then none will do.
func (l *Launcher) end(ctx context.Context, p daemon.Place, role, label string, chosen []daemon.Instance) error {
	if len(chosen) == 0 {
		if label != "" {
			return fmt.Errorf("there is no %s %s to stop on %s; %s.sh status tells what runs", role, label, p.Host, role)
		}
		fmt.Fprintf(l.Out, "no %s to stop on %s\n", role, p.Host)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	return together(len(chosen), func(n int) (string, error) {
		i := chosen[n]
		killed, err := p.Stop(ctx, i)
		switch {
		case err != nil && errors.Is(err, context.Cause(ctx)): // interrupted
			return fmt.Sprintf("%s, process %d, was asked to end, and whether it does was not waited for\n", i, i.PID), err
		case err != nil:
			return "", err
		case !i.Alive:
			return fmt.Sprintf("%s had ended without a stop; process %d, if there is one, is another's and was left alone\n", i, i.PID), nil
		case killed:
			return fmt.Sprintf("%s, process %d, did not end within %s and was killed\n", i, i.PID, stopTime), nil
		}
		return fmt.Sprintf("%s, process %d, has ended\n", i, i.PID), nil
	}, l.Out)
}

// errNotRunning is the answer of Status when nothing runs.
var errNotRunning = errors.New("does not run")

// Status tells of the instances of a role on this host, all or those with a label. If there are none, it tells of one that
// these scripts did not start and that does the work all the same: in the foreground, in a container, or by systemd. It fails if
// none runs.
func (l *Launcher) Status(ctx context.Context, role, label string) error {
	p, all, err := l.list(role)
	if err != nil {
		return err
	}
	running := false
	for _, i := range all {
		switch {
		case !matches(i, label):
		case !i.Alive:
			fmt.Fprintf(l.Out, "%s has ended without a stop; it was process %d, and its log is %s\n", i, i.PID, i.Log)
		default:
			running = true
			fmt.Fprintf(l.Out, "%s runs as process %d%s; log %s\n", i, i.PID, l.mode(ctx, i), i.Log)
		}
	}
	if running {
		return nil
	}
	if other := l.other(ctx, role, label); other != "" {
		fmt.Fprintf(l.Out, "%s. These scripts did not start it (it is in the foreground, or of systemd, a container or another user), and do not stop it\n", other)
		return nil
	}
	return fmt.Errorf("%s %w on %s", strings.TrimSpace(role+" "+label), errNotRunning, p.Host)
}

// mode is what a ZooKeeper server says of itself.
func (l *Launcher) mode(ctx context.Context, i daemon.Instance) string {
	if i.Role != ZooKeeper {
		return ""
	}
	_, s, err := l.server(strconv.Itoa(i.Number))
	if err != nil {
		return ""
	}
	m, err := mode(ctx, s)
	if err != nil {
		return ", and does not answer: " + err.Error()
	}
	return ", " + m
}
