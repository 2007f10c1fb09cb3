package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// fault is one that may be done to a cluster.
type fault struct {
	name   string
	weight int // how often it comes
	do     func(r *round, ctx context.Context) error
	needs  func(Storage) bool // nil: nothing
}

var faults = []fault{
	{name: "task process killed", weight: 6, do: (*round).killTask},
	{name: "task process frozen", weight: 2, do: (*round).freezeTask},
	{name: "TaskManager killed", weight: 2, do: (*round).killTaskManager},
	{name: "TaskManager frozen", weight: 1, do: (*round).freezeTaskManager},
	{name: "leader killed", weight: 3, do: (*round).killLeader},
	{name: "leader frozen", weight: 1, do: (*round).freezeLeader},
	{name: "all JobManagers killed", weight: 1, do: (*round).killJobManagers},
	{name: "storage away", weight: 1, do: (*round).takeStorage, needs: func(s Storage) bool { return s.Dir != "" }},
	{name: "storage full", weight: 1, do: (*round).fillStorage, needs: func(s Storage) bool { return s.Small }},
}

// fault does one, drawn by weight.
func (r *round) fault(ctx context.Context) error {
	var drawn []fault
	for _, f := range faults {
		if f.needs == nil || f.needs(r.Storage) {
			drawn = append(drawn, slices.Repeat([]fault{f}, f.weight)...)
		}
	}
	f := drawn[r.draw.IntN(len(drawn))]
	r.result.Faults[f.name]++
	r.Say("seed %d: %s", r.Seed, f.name)
	if err := f.do(r, ctx); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// task picks a task process of the job; 0: there is none now.
func (r *round) task(ctx context.Context) (int, error) {
	j, err := r.client.Job(ctx, r.id)
	if err != nil {
		return 0, err
	}
	var pids []int
	for _, s := range localcluster.Subtasks(j) {
		if s.PID > 1 && !slices.Contains(pids, s.PID) {
			pids = append(pids, s.PID)
		}
	}
	if len(pids) == 0 {
		return 0, nil
	}
	return pids[r.draw.IntN(len(pids))], nil
}

func (r *round) killTask(ctx context.Context) error {
	pid, err := r.task(ctx)
	if err != nil || pid == 0 {
		return err
	}
	return signal(pid, syscall.SIGKILL)
}

// signal sends a signal to a task process that still runs the job's binary.
func signal(pid int, s syscall.Signal) error {
	if !localcluster.IsTaskProcess(pid) {
		return nil
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func (r *round) freezeTask(ctx context.Context) error {
	pid, err := r.task(ctx)
	if err != nil || pid == 0 {
		return err
	}
	if err := signal(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	_, _ = r.pause(ctx)
	return signal(pid, syscall.SIGCONT)
}

func (r *round) killTaskManager(context.Context) error { return restart(r.taskManager()) }

func (r *round) taskManager() *localcluster.Process {
	return r.Cluster.TaskManagers[r.draw.IntN(len(r.Cluster.TaskManagers))]
}

// freezeTaskManager stops one for a moment, or for so long that it is declared dead: then its task processes,
// which know nothing of that, run beside their successors.
func (r *round) freezeTaskManager(ctx context.Context) error { return r.freeze(ctx, r.taskManager()) }

// freezeLeader lets the leader find out that it led, or that another does.
func (r *round) freezeLeader(ctx context.Context) error {
	leader, _, err := r.Cluster.Leader(ctx, r.client)
	if err != nil {
		return err
	}
	return r.freeze(ctx, leader)
}

// freeze stops a process for up to 5 s.
func (r *round) freeze(ctx context.Context, p *localcluster.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := wait(ctx, time.Duration(100+r.draw.IntN(4900))*time.Millisecond)
	return errors.Join(err, p.Signal(syscall.SIGCONT))
}

func (r *round) killLeader(ctx context.Context) error {
	leader, _, err := r.Cluster.Leader(ctx, r.client)
	if err != nil {
		return err
	}
	return restart(leader)
}

func (r *round) killJobManagers(context.Context) error {
	for _, p := range r.Cluster.JobManagers {
		p.Kill()
	}
	for _, p := range r.Cluster.JobManagers {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

func restart(p *localcluster.Process) error {
	p.Kill()
	return p.Start()
}

func (r *round) takeStorage(ctx context.Context) error { return r.spoil(ctx, r.Storage.TakeAway) }

func (r *round) fillStorage(ctx context.Context) error { return r.spoil(ctx, r.Storage.Fill) }

// spoil has the storage fail for a while. Meanwhile the job may lose a task process or its leader: what they
// need to go on is out of reach then.
func (r *round) spoil(ctx context.Context, begin func() (func() error, error)) error {
	back, err := begin()
	if err != nil {
		return err
	}
	var leader *localcluster.Process
	err = wait(ctx, time.Duration(r.draw.IntN(800))*time.Millisecond)
	switch r.draw.IntN(4) {
	case 0:
		err = errors.Join(err, r.killTask(ctx))
	case 1:
		if leader, _, err = r.Cluster.Leader(ctx, r.client); err == nil {
			leader.Kill()
		}
	}
	err = errors.Join(err, wait(ctx, time.Duration(r.draw.IntN(800))*time.Millisecond), back())
	if leader != nil { // one that finds no storage at its start ends again
		err = errors.Join(err, leader.Start())
	}
	return err
}
