package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/benchmarks/arrivals"
	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

const (
	taskKills = 15
	hostKills = 7 // TaskManagers
	silences  = 5 // TaskManagers that go silent
	// silentAfter is the taskmanager.timeout of the cluster in which they do.
	silentAfter = 2 * time.Second
)

func recovery(ctx context.Context, _ options, r *report) error {
	return bounded(ctx, suiteLimit, func(ctx context.Context, b binaries) error {
		r.table(fmt.Sprintf("Restarts of a small job from a checkpoint: %s, checkpoint.interval %v; milliseconds, p50 / worst", smallJobIs, smallInterval),
			"from", "n", "to every subtask RUNNING", "to the first record out", "to reach")
		err := onSmall(ctx, b, nil, func(ctx context.Context, s site, id client.ID) error {
			return errors.Join(
				s.restartRow(ctx, r, id, "SIGKILL of a task process", "p50 ≤ 300", taskKills, 0, s.killTask),
				s.restartRow(ctx, r, id, "SIGKILL of a TaskManager, with another's free slots", "≤ 500", hostKills, 0, s.killTaskManager))
		})
		if err != nil {
			return err
		}
		settings := map[string]string{"taskmanager.timeout": silentAfter.String()}
		err = onSmall(ctx, b, settings, func(ctx context.Context, s site, id client.ID) error {
			return s.restartRow(ctx, r, id, fmt.Sprintf("a host that goes silent (SIGSTOP of a TaskManager and its task processes), less taskmanager.timeout of %v", silentAfter), "≤ 500", silences, silentAfter, s.silence)
		})
		return errors.Join(err, changes(ctx, r, b))
	})
}

// onSmall calls do with a cluster on which the small job runs.
func onSmall(ctx context.Context, b binaries, settings map[string]string, do func(context.Context, site, client.ID) error) error {
	with := map[string]string{"checkpoint.interval": smallInterval.String(), "cluster.id": "small"}
	maps.Copy(with, settings)
	return onSite(ctx, b, 2, with, func(ctx context.Context, s site) error {
		id, err := s.submit(ctx, s.smallJob()...)
		if err != nil {
			return err
		}
		if err := do(ctx, s, id); err != nil {
			return err
		}
		return s.cancel(ctx, id)
	})
}

// restart is how long one took.
type restart struct{ running, first time.Duration }

// restartRow reports n restarts, of which a known time is taken off.
func (s site) restartRow(ctx context.Context, r *report, id client.ID, name, goal string, n int, known time.Duration, fail func(context.Context, client.Job) error) error {
	all, err := s.restarts(ctx, id, n, fail)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var running, first []time.Duration
	for _, t := range all {
		running, first = append(running, t.running-known), append(first, t.first-known)
	}
	r.row(name, fmt.Sprint(n), two(running), two(first), goal)
	return nil
}

func two(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s / %s", ms(quantile(d, 0.5)), ms(quantile(d, 1)))
}

// restarts has something fail n times, and says how long the job took each time to run again.
func (s site) restarts(ctx context.Context, id client.ID, n int, fail func(context.Context, client.Job) error) ([]restart, error) {
	var all []restart
	for range n {
		was, err := s.checkpointed(ctx, id)
		if err != nil {
			return all, err
		}
		// A failure may meet a checkpoint at any moment of its course.
		if err := sleep(ctx, rand.N(smallInterval)); err != nil {
			return all, err
		}
		took, err := s.restart(ctx, id, was, fail)
		if err != nil {
			return all, err
		}
		all = append(all, took)
		if err := s.whole(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

// restart has something fail in a job that has a checkpoint of its present attempt.
func (s site) restart(ctx context.Context, id client.ID, was client.Job, fail func(context.Context, client.Job) error) (took restart, err error) {
	if err := os.Truncate(s.arrivals(), 0); err != nil {
		return took, err
	}
	begun := time.Now()
	if err := fail(ctx, was); err != nil {
		return took, err
	}
	return s.restarted(ctx, id, was, begun)
}

// restarted waits until every subtask runs in the next attempt and a record has come out of it. It must
// continue from a checkpoint: one that begins anew has less to do.
func (s site) restarted(ctx context.Context, id client.ID, was client.Job, begun time.Time) (took restart, err error) {
	var j client.Job
	err = poll(ctx, func() (bool, error) {
		j, err = s.job(ctx, id)
		took.running = time.Since(begun)
		return attemptOf(j) > attemptOf(was) && runs(j), err
	})
	if err == nil && j.Checkpoints.Restored < newest(was).ID {
		err = fmt.Errorf("attempt %d continued from checkpoint %d, and %d was complete", attemptOf(j), j.Checkpoints.Restored, newest(was).ID)
	}
	if err != nil {
		return took, err
	}
	_, first, err := s.around(ctx, attemptOf(j))
	took.first = first.Sub(begun)
	return took, err
}

// around waits for the first record of an attempt, or of a later one, and says when it came, and when the last one of
// those before, if it is known.
func (s site) around(ctx context.Context, attempt job.Attempt) (last, first time.Time, err error) {
	err = poll(ctx, func() (bool, error) {
		all, err := arrivals.Read(s.arrivals())
		for _, a := range all {
			if a.Attempt >= int(attempt) {
				first = a.At
				return true, nil
			}
			last = a.At
		}
		return false, err
	})
	return last, first, err
}

// killTask kills one of the job's task processes, which must be a child of this cluster.
func (s site) killTask(_ context.Context, j client.Job) error {
	all := pids(j)
	pid := all[rand.IntN(len(all))]
	if _, err := s.parent(pid); err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// killTaskManager kills one that runs a part of the job.
func (s site) killTaskManager(_ context.Context, j client.Job) error {
	p, err := s.parent(pids(j)[0])
	if err != nil {
		return err
	}
	p.Kill() // waits for its end, so that whole sees that it is gone
	return nil
}

// silence stops a TaskManager that runs a part of the job, and then all of its children: no connection ends, and none
// answers. They die with it, in whole.
func (s site) silence(_ context.Context, j client.Job) error {
	p, err := s.parent(pids(j)[0])
	if err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	children, err := childrenOf(p.PID())
	for _, pid := range children {
		err = errors.Join(err, syscall.Kill(pid, syscall.SIGSTOP))
	}
	return err
}

// parent is the TaskManager that started a task process.
func (s site) parent(pid int) (*localcluster.Process, error) {
	st, err := statOf(pid)
	if err != nil {
		return nil, err
	}
	for _, p := range s.cl.TaskManagers {
		if p.PID() == st.parent {
			return p, nil
		}
	}
	return nil, fmt.Errorf("process %d is no child of this cluster's TaskManagers", pid)
}

// childrenOf lists a process's children.
func childrenOf(parent int) (pids []int, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		switch st, err := statOf(pid); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // it has ended
		case err != nil:
			return nil, err
		case st.parent == parent:
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// whole starts the TaskManagers that were killed or stopped, and waits until the cluster is what it was.
func (s site) whole(ctx context.Context) error {
	for _, p := range s.cl.TaskManagers {
		if p.Running() {
			st, err := statOf(p.PID())
			if err != nil {
				return err
			}
			if st.state != stopped {
				continue
			}
			p.Kill()
		}
		if err := p.Start(); err != nil {
			return err
		}
	}
	return s.cl.Ready(ctx, s.cli)
}
