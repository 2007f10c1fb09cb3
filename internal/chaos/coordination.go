package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

func needsZooKeeper(s *Site) string {
	if s.Ensemble == nil {
		return "it has no ZooKeeper"
	}
	return ""
}

func needsDisks(s *Site) string {
	if len(s.Disks) == 0 {
		return "coordination has no small file system of its own, which only root can mount, on Linux"
	}
	return ""
}

// coordinationFaults are of ZooKeeper's servers, and of the embedded quorum, whose members die with their JobManagers.
var coordinationFaults = []fault{
	{name: "ZooKeeper follower killed", row: "16", weight: 1, gentle: true, do: (*round).killFollower, needs: needsZooKeeper},
	{name: "ZooKeeper leader killed", row: "17", weight: 2, gentle: true, do: (*round).killZooKeeperLeader, needs: needsZooKeeper},
	{name: "ZooKeeper leader frozen", row: "18", weight: 2, gentle: true, do: (*round).freezeZooKeeperLeader, needs: needsZooKeeper},
	{name: "ZooKeeper leader and leader killed", row: "19", weight: 1, gentle: true, do: (*round).killBothLeaders, needs: needsZooKeeper},
	{name: "ZooKeeper slow", row: "21", weight: 1, gentle: true, do: (*round).slowZooKeeper, needs: needsZooKeeper},
	{name: "quorum lost", row: "20", weight: 2, gentle: true, do: (*round).loseQuorum},
	{name: "disk of coordination full", row: "22", weight: 1, gentle: true, do: (*round).fillCoordination, needs: needsDisks},
}

// killServer kills a server, with what else is to die with it, and starts it again after a while.
func (r *round) killServer(ctx context.Context, s *testensemble.Server, with func() error) error {
	r.result.Kills++
	begin := func() error { return errors.Join(s.Kill(), with()) }
	return r.during(ctx, r.moments(500, 3000), begin, func() error { return r.serve(ctx) })
}

// serve starts those of ZooKeeper's servers that do not run, and waits until all serve. One may end while they are waited for,
// as one does whose disk was full a moment ago.
func (r *round) serve(ctx context.Context) error {
	if r.Ensemble == nil {
		return nil
	}
	for {
		for _, s := range r.Ensemble.Servers {
			if !s.Running() {
				if err := errors.Join(s.Kill(), s.Start()); err != nil {
					return err
				}
			}
		}
		err := r.Ensemble.WaitServing(ctx)
		if err == nil || ctx.Err() != nil || !slices.ContainsFunc(r.Ensemble.Servers, func(s *testensemble.Server) bool { return !s.Running() }) {
			return err
		}
	}
}

func nothing() error { return nil }

func (r *round) killFollower(ctx context.Context) error {
	leader, err := r.Ensemble.Leader(ctx)
	if err != nil {
		return err
	}
	followers := slices.DeleteFunc(slices.Clone(r.Ensemble.Servers), func(s *testensemble.Server) bool { return s == leader })
	return r.killServer(ctx, followers[r.draw.IntN(len(followers))], nothing)
}

func (r *round) killZooKeeperLeader(ctx context.Context) error {
	leader, err := r.Ensemble.Leader(ctx)
	if err != nil {
		return err
	}
	return r.killServer(ctx, leader, nothing)
}

func (r *round) killBothLeaders(ctx context.Context) error {
	zk, err := r.Ensemble.Leader(ctx)
	if err != nil {
		return err
	}
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	return r.killServer(ctx, zk, func() error { return r.restart(leader) })
}

func (r *round) freezeZooKeeperLeader(ctx context.Context) error {
	leader, err := r.Ensemble.Leader(ctx)
	if err != nil {
		return err
	}
	return r.during(ctx, r.moments(200, 5000), leader.Freeze, leader.Thaw)
}

// slowZooKeeper has each write take half a second: the servers, a majority of which it needs, run in short pulses only.
func (r *round) slowZooKeeper(ctx context.Context) error {
	slow := r.Ensemble.Servers[:2]
	all := func(do func(*testensemble.Server) error) func() error {
		return func() (err error) {
			for _, s := range slow {
				err = errors.Join(err, do(s))
			}
			return err
		}
	}
	r.struck = time.Now()
	for range 4 {
		if err := during(ctx, time.Now().Add(500*time.Millisecond), all((*testensemble.Server).Freeze), all((*testensemble.Server).Thaw)); err != nil {
			return err
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// loseQuorum kills two of three, of ZooKeeper's servers or of the members of the embedded quorum: tasks go on, and nothing is
// acknowledged.
func (r *round) loseQuorum(ctx context.Context) error {
	lose, back := r.zooKeepersLost, func() error { return r.serve(ctx) }
	if r.Ensemble == nil {
		lose, back = r.membersLost, r.revived
	}
	if err := lose(); err != nil {
		return errors.Join(err, back())
	}
	began := time.Now()
	id := r.unacknowledged(ctx)
	err := wait(ctx, r.moments(500, 5000)-time.Since(began))
	r.struck = time.Now()
	if err := errors.Join(err, back(), r.answered(ctx)); err != nil {
		return err
	}
	_, err = r.client.Cancel(ctx, id) // it may have been written after all, and would wait for slots for ever
	_, err = seen(canceled, err)
	return err
}

func (r *round) zooKeepersLost() (err error) {
	for _, i := range r.draw.Perm(zooKeepers)[:2] {
		r.result.Kills++
		err = errors.Join(err, r.Ensemble.Servers[i].Kill())
	}
	return err
}

func (r *round) membersLost() error {
	for _, i := range r.draw.Perm(jobManagers)[:2] {
		r.kill(r.Cluster.JobManagers[i])
	}
	return nil
}

// revived starts what was killed.
func (r *round) revived() (err error) {
	for _, p := range r.Cluster.JobManagers {
		if !p.Running() {
			err = errors.Join(err, p.Start())
		}
	}
	return err
}

// unacknowledged asks for something that would have to be written, and returns its id.
func (r *round) unacknowledged(ctx context.Context) client.ID {
	ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	id := client.NewID()
	if _, err := r.client.Submit(ctx, r.idle(id)); err == nil {
		r.violated("quorum", "seed %d: job %s was acknowledged without a quorum", r.Seed, id)
	}
	return id
}

// fillCoordination leaves coordination no room: ZooKeeper's servers, or one member of the embedded quorum.
func (r *round) fillCoordination(ctx context.Context) error {
	back, err := fill(r.Disks[r.draw.IntN(len(r.Disks))])
	if err != nil {
		return err
	}
	r.struck = time.Now()
	err = errors.Join(wait(ctx, r.moments(500, 2500)), back())
	return errors.Join(err, r.serve(ctx))
}

// jobManagerNumber is a JobManager's place in the list.
func (r *round) jobManagerNumber(p *localcluster.Process) (int, error) {
	if i := slices.Index(r.Cluster.JobManagers, p); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("%s is no JobManager", p.Name)
}
