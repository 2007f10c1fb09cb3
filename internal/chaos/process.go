package chaos

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// processFaults are of processes of Perennial.
var processFaults = []fault{
	{name: "task process killed", rows: "–", weight: 6, do: (*round).killTask},
	{name: "task process frozen", rows: "–", weight: 2, do: (*round).freezeTask},
	{name: "TaskManager killed", rows: "–", weight: 2, do: (*round).killTaskManager},
	{name: "TaskManager frozen", rows: "–", weight: 1, do: (*round).freezeTaskManager},
	{name: "leader killed", rows: "1", weight: 4, gentle: true, do: (*round).killLeader},
	{name: "leader stopped", rows: "3", weight: 1, gentle: true, do: (*round).stopLeader},
	{name: "leader handed over", rows: "3", weight: 1, gentle: true, do: (*round).handOver},
	{name: "leader frozen", rows: "5", weight: 1, gentle: true, do: (*round).freezeLeader},
	{name: "leader starved", rows: "32", weight: 1, gentle: true, do: (*round).starveLeader},
	{name: "leaders killed each 200 ms", rows: "8", weight: 2, gentle: true, do: (*round).killLeaders},
	{name: "standby killed", rows: "6", weight: 1, gentle: true, do: (*round).killStandby},
	{name: "standby frozen", rows: "6", weight: 1, gentle: true, do: (*round).freezeStandby},
	{name: "all JobManagers killed", rows: "7", weight: 1, gentle: true, do: (*round).killJobManagers},
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
	r.result.Kills++
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

// handOver has the leader step down. It is refused while no standby could take its place.
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
		r.Say("seed %d: the leader does not step down: %v", r.Seed, err)
	}
	return nil
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
