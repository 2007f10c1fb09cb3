package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/swarm"
	"github.com/perennial-io/perennial/internal/testensemble"
)

const (
	scaleSlots    = 10 // of each TaskManager
	scaleSubtasks = 100
	scaleKills    = 10
	scaleWindow   = 10 * time.Second // in which CPU time and writes are counted
)

// scale measures what a change of leader and an undisturbed cluster cost with ten TaskManagers, a hundred and a thousand.
func scale(ctx context.Context, _ options, r *report) error {
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	r.table(fmt.Sprintf("Many TaskManagers, of %d slots each, that run nothing (one process plays them all); jobs of %d subtasks, checkpoint.interval 10 s; three JobManagers, 3-server ZooKeeper; SIGKILL of the leader, %d times where all went well; milliseconds, p50 / worst",
		scaleSlots, scaleSubtasks, scaleKills),
		"TaskManagers", "jobs", "subtasks", "n", "kill → epoch committed", "epoch → all TaskManagers asked", "epoch → all adopted, API answering", "deployed again, or not heard in time",
		"leader: memory, CPU", "standby: memory, CPU", "ZooKeeper, three servers: CPU", "znodes", "writes per second", "to reach")
	for _, n := range []int{10, 100, 1000} {
		e, err := testensemble.ZooKeeper(ctx, filepath.Join(b.dir, fmt.Sprintf("zookeeper-%d", n)), 3)
		if err != nil {
			return err
		}
		if err = e.WaitServing(ctx); err == nil {
			err = many(ctx, r, b, e, n)
		}
		e.Close()
		if err != nil {
			return fmt.Errorf("%d TaskManagers: %w", n, err)
		}
	}
	return nil
}

func many(ctx context.Context, r *report, b binaries, e *testensemble.Ensemble, taskManagers int) error {
	c := localcluster.Config{JobManagers: 3, Settings: map[string]string{"zookeeper.quorum": e.Connect()}}
	jobs := max(1, taskManagers*scaleSlots/scaleSubtasks)
	return cluster(ctx, b, c, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		s, err := swarm.On(ctx, cl, cli, taskManagers, scaleSlots)
		if err != nil {
			return err
		}
		defer s.Close()
		if _, err := swarm.Run(ctx, cl, cli, jobs, scaleSubtasks); err != nil {
			return err
		}
		idle, err := undisturbed(ctx, cl, cli, e)
		if err != nil {
			return err
		}
		var epochs, asked, adopted []time.Duration
		lost := 0
		deployed := s.Deployments()
		for range scaleKills {
			t, epoch, wrong := killHot(ctx, cl, cli, s)
			if err = wrong; err != nil {
				break // what was measured is told
			}
			epochs = append(epochs, epoch)
			asked, adopted = append(asked, millis(t.AskedMillis-t.ClaimMillis)), append(adopted, millis(t.Millis()-t.ClaimMillis))
			lost += t.Redeployed + t.Unheard
		}
		goal := "–"
		if taskManagers == 1000 {
			goal = "all adopted ≤ 1 s"
		}
		r.row(strconv.Itoa(taskManagers), strconv.Itoa(jobs), strconv.Itoa(jobs*scaleSubtasks), strconv.Itoa(len(epochs)), two(epochs), two(asked), two(adopted),
			fmt.Sprint(lost+int(s.Deployments()-deployed)), idle.leader, idle.standby, idle.ensemble, idle.nodes, idle.writes, goal)
		return err
	})
}

// killHot kills the leader of a swarm that is connected with all JobManagers, and starts it again.
func killHot(ctx context.Context, cl *localcluster.Cluster, cli *client.Client, s *swarm.Swarm) (client.Takeover, time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("two minutes were not enough"))
	defer cancel()
	victim, was, err := cl.Leader(ctx, cli)
	if err != nil {
		return client.Takeover{}, 0, err
	}
	at := time.Now()
	victim.Kill()
	t, err := successor(ctx, cl, cli, was.Epoch)
	if err == nil {
		err = victim.Start()
	}
	if err == nil {
		err = s.Hot(ctx, cl, cli)
	}
	return t, since(at, t, t.ClaimMillis), err
}

// restFigures are of a cluster in which nothing happens but heartbeats and checkpoints.
type restFigures struct{ leader, standby, ensemble, nodes, writes string }

func undisturbed(ctx context.Context, cl *localcluster.Cluster, cli *client.Client, e *testensemble.Ensemble) (q restFigures, err error) {
	leader, _, err := cl.Leader(ctx, cli)
	if err != nil {
		return q, err
	}
	standby := cl.JobManagers[0]
	if standby == leader {
		standby = cl.JobManagers[1]
	}
	pids := []int{leader.PID(), standby.PID()}
	for _, server := range e.Servers {
		pids = append(pids, server.Pid())
	}
	var cpu [2][]time.Duration
	var wrote [2]int64
	for i := range 2 {
		for _, pid := range pids {
			stat, err := statOf(pid)
			if err != nil {
				return q, err
			}
			cpu[i] = append(cpu[i], stat.cpu)
		}
		seen, err := e.Servers[0].Statistics(ctx)
		if err != nil {
			return q, err
		}
		q.nodes = fmt.Sprint(seen.Nodes)
		wrote[i] = seen.Transactions
		if i == 0 {
			if err := sleep(ctx, scaleWindow); err != nil {
				return q, err
			}
		}
	}
	share := func(processes ...int) string {
		var sum time.Duration
		for _, p := range processes {
			sum += cpu[1][p] - cpu[0][p]
		}
		return fmt.Sprintf("%.0f %% of a core", 100*sum.Seconds()/scaleWindow.Seconds())
	}
	memory := func(pid int) (string, error) {
		bytes, err := resident(pid)
		return mib(bytes), err
	}
	leading, err := memory(pids[0])
	if err != nil {
		return q, err
	}
	standing, err := memory(pids[1])
	q.leader, q.standby, q.ensemble = leading+", "+share(0), standing+", "+share(1), share(2, 3, 4)
	q.writes = strings.TrimSuffix(fmt.Sprintf("%.1f", float64(wrote[1]-wrote[0])/scaleWindow.Seconds()), ".0")
	return q, err
}
