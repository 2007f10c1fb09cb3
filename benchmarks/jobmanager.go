package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
)

const starts = 10 // of a JobManager, and of jobs

func jobManager(ctx context.Context, _ options, r *report) error {
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	info, err := os.Stat(b.perennial)
	if err != nil {
		return err
	}
	jobInfo, err := os.Stat(b.job)
	if err != nil {
		return err
	}
	r.table("A JobManager", "what", "figure", "to reach")
	r.row("binary `perennial`, stripped", mib(info.Size()), "–")
	r.row("a job's binary, stripped", mib(jobInfo.Size()), "–")
	err = withEnsemble(ctx, b.dir, func(quorum string) error { return onZooKeeper(ctx, r, b, quorum) })
	return errors.Join(err, idle(ctx, r, b, "embedded quorum", "≤ 100 MiB", localcluster.Config{Embedded: true}))
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func onZooKeeper(ctx context.Context, r *report, b binaries, quorum string) error {
	settings := func(id string) map[string]string {
		return map[string]string{"zookeeper.quorum": quorum, "cluster.id": id}
	}
	if err := idle(ctx, r, b, "ZooKeeper", "≤ 60 MiB", localcluster.Config{Settings: settings("idle")}); err != nil {
		return err
	}
	var answering []time.Duration
	for i := range starts {
		d, err := startToAnswer(ctx, b, settings(fmt.Sprintf("start-%d", i)))
		if err != nil {
			return err
		}
		answering = append(answering, d)
	}
	r.row(fmt.Sprintf("start of the process → API answers as leader, ZooKeeper, n = %d, p50 / worst", starts),
		fmt.Sprintf("%s / %s ms", ms(quantile(answering, 0.5)), ms(quantile(answering, 1))), "≤ 300 ms")
	submitted, err := submissions(ctx, b, settings("submit"))
	r.row(fmt.Sprintf("`perennial run -d BINARY` → every subtask RUNNING, ZooKeeper, n = %d, p50 / worst", starts),
		fmt.Sprintf("%s / %s ms", ms(quantile(submitted, 0.5)), ms(quantile(submitted, 1))), "≤ 500 ms")
	return err
}

// cluster starts one, waits until it is ready, and calls do.
func cluster(ctx context.Context, b binaries, c localcluster.Config, do func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error) error {
	c.Binary = b.perennial
	var err error
	if c.Dir, err = os.MkdirTemp(b.dir, "cluster-"); err != nil {
		return err
	}
	cl, err := localcluster.Start(c)
	if err != nil {
		return err
	}
	defer cl.Stop()
	cli := cl.Client()
	defer cli.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, 40*time.Minute, errors.New("forty minutes were not enough"))
	defer cancel()
	if err := cl.Ready(ctx, cli); err != nil {
		return fmt.Errorf("%w\n%s", err, cl.Logs())
	}
	if err := do(ctx, cl, cli); err != nil {
		return fmt.Errorf("%w\n%s", err, cl.Logs())
	}
	return nil
}

// idle measures resident memory after some seconds of nothing to do.
func idle(ctx context.Context, r *report, b binaries, name, goal string, c localcluster.Config) error {
	c.JobManagers, c.TaskManagers, c.Slots = 3, 2, 2
	return cluster(ctx, b, c, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		leader, _, err := cl.Leader(ctx, cli)
		if err != nil {
			return err
		}
		var leading, standing int64
		for _, p := range cl.JobManagers {
			rss, err := resident(p.PID())
			if err != nil {
				return err
			}
			if p == leader {
				leading = rss
			} else {
				standing = max(standing, rss)
			}
		}
		r.row("resident memory, idle, "+name+", leader / standby", mib(leading)+" / "+mib(standing), goal)
		tm, err := resident(cl.TaskManagers[0].PID())
		r.row("resident memory of a TaskManager, idle, "+name, mib(tm), "–")
		return err
	})
}

func resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}

func startToAnswer(ctx context.Context, b binaries, settings map[string]string) (time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "cluster-")
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	cl, err := localcluster.Start(localcluster.Config{Binary: b.perennial, Dir: dir, JobManagers: 1, Settings: settings})
	if err != nil {
		return 0, err
	}
	defer cl.Stop()
	cli := cl.Client()
	defer cli.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("a minute was not enough"))
	defer cancel()
	_, err = cli.Jobs(ctx)
	return time.Since(begun), err
}

// submissions runs one job after the other as a person would, and cancels each.
func submissions(ctx context.Context, b binaries, settings map[string]string) (took []time.Duration, err error) {
	err = cluster(ctx, b, localcluster.Config{JobManagers: 2, TaskManagers: 2, Slots: 2, Settings: settings}, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		for i := range starts {
			args := []string{"run", "--conf", "", "-D", "zookeeper.quorum=" + settings["zookeeper.quorum"], "-D", "cluster.id=" + settings["cluster.id"],
				"-d", "-p", "2", b.job, "--", "--arrivals", filepath.Join(b.dir, fmt.Sprintf("arrivals-%d", i))}
			begun := time.Now()
			out, err := exec.CommandContext(ctx, b.perennial, args...).Output()
			if err != nil {
				return fmt.Errorf("perennial run: %w", err)
			}
			id := client.ID(strings.TrimSpace(string(out)))
			if _, err := cl.Running(ctx, cli, id); err != nil {
				return err
			}
			took = append(took, time.Since(begun))
			if _, err := cli.Cancel(ctx, id); err != nil {
				return err
			}
			if _, err := cli.Wait(ctx, id, 20*time.Millisecond, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return took, err
}
