package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// processFaults are of processes of Perennial.
var processFaults = []fault{
	{name: "task process killed", row: "–", weight: 6, do: (*round).killTask},
	{name: "task process frozen", row: "–", weight: 2, do: (*round).freezeTask},
	{name: "TaskManager killed", row: "–", weight: 2, do: (*round).killTaskManager},
	{name: "TaskManager frozen", row: "12", weight: 1, do: (*round).freezeTaskManager},
	{name: "leader killed", row: "1", weight: 4, gentle: true, do: (*round).killLeader},
	{name: "leader stopped", row: "3", weight: 1, gentle: true, do: (*round).stopLeader},
	{name: "leader handed over", row: "3", weight: 1, gentle: true, do: (*round).handOver},
	{name: "leader frozen", row: "5", weight: 1, gentle: true, do: (*round).freezeLeader},
	{name: "leader starved", row: "32", weight: 1, gentle: true, do: (*round).starveLeader},
	{name: "leaders killed each 200 ms", row: "8", weight: 2, gentle: true, do: (*round).killLeaders},
	{name: "standby killed", row: "6", weight: 1, gentle: true, do: (*round).killStandby},
	{name: "standby frozen", row: "5", weight: 1, gentle: true, do: (*round).freezeStandby},
	{name: "all JobManagers killed", row: "7", weight: 1, gentle: true, do: (*round).killJobManagers},
}

// kill ends a process of the cluster at once.
func (r *round) kill(p *localcluster.Process) {
	r.struck = time.Now()
	r.result.Kills++
	p.Kill()
}

func (r *round) restart(p *localcluster.Process) error {
	r.kill(p)
	return p.Start()
}

// taskPatience is how long a job that restarts is waited for.
const taskPatience = 3 * time.Second

// task picks a task process of the job, waiting for one for a moment while there is none. errSpared: there is none.
func (r *round) task(ctx context.Context) (pid int, err error) {
	asked, cancel := context.WithTimeout(ctx, taskPatience)
	defer cancel()
	err = r.Cluster.Until(asked, func() error {
		j, err := r.client.Job(asked, r.id)
		if err != nil || j.State.Terminal() {
			return err
		}
		pids := taskProcesses(j)
		if len(pids) == 0 {
			return fmt.Errorf("the job has no task process; it is %s", j.State)
		}
		pid = pids[r.draw.IntN(len(pids))]
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, fmt.Errorf("%w: %w", errSpared, err)
	case pid == 0:
		return 0, fmt.Errorf("%w: the job has ended", errSpared)
	}
	return pid, nil
}

// taskProcesses are those that run a job's subtasks.
func taskProcesses(j client.Job) []int {
	var pids []int
	for _, s := range localcluster.Subtasks(j) {
		if s.PID > 1 && !s.State.Terminal() && localcluster.IsTaskProcess(s.PID) && !slices.Contains(pids, s.PID) {
			pids = append(pids, s.PID)
		}
	}
	return pids
}

func (r *round) killTask(ctx context.Context) error {
	pid, err := r.task(ctx)
	if err != nil {
		return err
	}
	r.struck = time.Now()
	if err := r.signalTask(pid, syscall.SIGKILL); err != nil {
		return err
	}
	r.result.Kills++
	return nil
}

// signalTask signals a task process that was there a moment ago.
func (r *round) signalTask(pid int, sig syscall.Signal) error {
	there, err := r.Cluster.SignalTask(pid, sig)
	if err == nil && !there {
		err = fmt.Errorf("%w: task process %d had just ended", errSpared, pid)
	}
	return err
}

func (r *round) freezeTask(ctx context.Context) error {
	pid, err := r.task(ctx)
	if err != nil {
		return err
	}
	r.struck = time.Now()
	if err := r.signalTask(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	err = wait(ctx, r.moments(100, 800))
	_, e := r.Cluster.SignalTask(pid, syscall.SIGCONT) // it may have been ended meanwhile
	return errors.Join(err, e)
}

func (r *round) killTaskManager(context.Context) error { return r.restart(r.taskManager()) }

func (r *round) taskManager() *localcluster.Process {
	return r.Cluster.TaskManagers[r.draw.IntN(len(r.Cluster.TaskManagers))]
}

// freezeTaskManager stops one for a moment, or for so long that it is declared dead: then its task processes,
// which know nothing of that, run beside their successors.
func (r *round) freezeTaskManager(ctx context.Context) error {
	return r.freeze(ctx, r.taskManager(), r.moments(100, 8000))
}

func (r *round) leader(ctx context.Context) (*localcluster.Process, error) {
	leader, _, err := r.Cluster.Leader(ctx, r.client)
	return leader, err
}

// freezeLeader lets the leader find out that it led, or that another does.
func (r *round) freezeLeader(ctx context.Context) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	return r.freeze(ctx, leader, r.moments(100, 5000))
}

func (r *round) freeze(ctx context.Context, p *localcluster.Process, d time.Duration) error {
	return r.during(ctx, d, stop(p), goOn(p))
}

func stop(p *localcluster.Process) func() error {
	return func() error { return p.Signal(syscall.SIGSTOP) }
}

func goOn(p *localcluster.Process) func() error {
	return func() error { return p.Signal(syscall.SIGCONT) }
}

// starveLeader has the leader run half of the time only, and never for long.
func (r *round) starveLeader(ctx context.Context) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	each := r.moments(10, 200)
	r.struck = time.Now()
	for range int(2 * time.Second / each) {
		if err := during(ctx, time.Now().Add(each), stop(leader), goOn(leader)); err != nil {
			return err
		}
		if err := wait(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) killLeader(ctx context.Context) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	return r.restart(leader)
}

// killLeaders kills whoever leads, again and again.
func (r *round) killLeaders(ctx context.Context) error {
	for range 4 + r.draw.IntN(5) {
		if err := r.killLeader(ctx); err != nil {
			return err
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) stopLeader(ctx context.Context) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	r.struck = time.Now()
	leader.Terminate(ctx)
	return leader.Start()
}

// handOver has the leader step down, and waits until another leads. It is refused while no standby could take its place.
func (r *round) handOver(ctx context.Context) error {
	if err := r.Cluster.Members(ctx, r.client); err != nil {
		return err
	}
	_, m, err := r.Cluster.Leader(ctx, r.client)
	if err != nil {
		return err
	}
	r.struck = time.Now()
	if err := r.client.StepDown(ctx, m.Epoch); err != nil {
		return fmt.Errorf("%w: the leader does not step down: %w", errSpared, err)
	}
	if err := r.answered(ctx); err != nil {
		return err
	}
	return r.Cluster.Until(ctx, func() error {
		_, now, err := r.Cluster.Leader(ctx, r.client)
		if err == nil && now.Epoch <= m.Epoch {
			err = fmt.Errorf("%s leads under epoch %d, although it was told to step down", now.ID, now.Epoch)
		}
		return err
	})
}

// standby picks a JobManager that does not lead.
func (r *round) standby(ctx context.Context) (*localcluster.Process, error) {
	leader, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Clone(r.Cluster.JobManagers), func(p *localcluster.Process) bool { return p == leader })
	return others[r.draw.IntN(len(others))], nil
}

func (r *round) killStandby(ctx context.Context) error {
	p, err := r.standby(ctx)
	if err != nil {
		return err
	}
	return r.restart(p)
}

func (r *round) freezeStandby(ctx context.Context) error {
	p, err := r.standby(ctx)
	if err != nil {
		return err
	}
	return r.freeze(ctx, p, r.moments(100, 3000))
}

// killJobManagers leaves the tasks without any for a while.
func (r *round) killJobManagers(ctx context.Context) error {
	for _, p := range r.Cluster.JobManagers {
		r.kill(p)
	}
	err := wait(ctx, r.moments(0, 3000))
	r.struck = time.Now()
	for _, p := range r.Cluster.JobManagers {
		err = errors.Join(err, p.Start())
	}
	return err
}
