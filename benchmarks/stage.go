package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// stage is a cluster with one running job, whose leader comes to harm.
type stage struct {
	cl       *localcluster.Cluster
	cli      *client.Client
	id       client.ID
	artifact string
	arrivals string // file
	before   client.Job
	began    time.Time
	used     time.Duration // CPU time of the job's processes then
	mend     func() error  // what a fault may have left broken beside JobManagers; nil: nothing

	checkpoints map[job.CheckpointID]time.Time // when each was completed, as far as it was looked at
}

// onStage starts a cluster of three JobManagers, unless c says how many, and two TaskManagers, and the job.
func onStage(ctx context.Context, b binaries, c localcluster.Config, do func(context.Context, *stage) error) error {
	c.TaskManagers, c.Slots = 2, 2
	if c.JobManagers == 0 {
		c.JobManagers = 3
	}
	return cluster(ctx, b, c, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		s := &stage{cl: cl, cli: cli, arrivals: filepath.Join(b.dir, "arrivals"), checkpoints: map[job.CheckpointID]time.Time{}}
		if err := os.RemoveAll(s.arrivals); err != nil { // of the cluster before
			return err
		}
		var err error
		if s.artifact, err = cli.Upload(ctx, b.job); err != nil {
			return err
		}
		s.id = client.NewID()
		if _, err := cli.Submit(ctx, client.Spec{ID: s.id, Name: "gaps", Artifact: s.artifact, Parallelism: 2, Args: []string{"--arrivals", s.arrivals}}); err != nil {
			return err
		}
		if s.before, err = cl.Running(ctx, cli, s.id); err != nil {
			return err
		}
		if _, err := s.nextCheckpoint(ctx, time.Time{}); err != nil {
			return err
		}
		s.began, s.used = time.Now(), s.cpu()
		return do(ctx, s)
	})
}

// cpu is the CPU time of the job's processes.
func (s *stage) cpu() (total time.Duration) {
	for _, pid := range pids(s.before) {
		if stat, err := statOf(pid); err == nil {
			total += stat.cpu
		}
	}
	return total
}

// load is the share of the machine's CPUs that the job has taken so far, in percent.
func (s *stage) load() float64 {
	return 100 * (s.cpu() - s.used).Seconds() / time.Since(s.began).Seconds() / float64(runtime.NumCPU())
}

// restarts counts restarts of the job, and subtasks that are not what they were.
func (s *stage) restarts(ctx context.Context) (int, error) {
	after, err := s.cli.Job(ctx, s.id)
	return after.Restarts + len(localcluster.Touched(s.before, after)), err
}

// restarted is restarts for a row, whatever has become of ctx.
func (s *stage) restarted(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	n, err := s.restarts(ctx)
	if err != nil {
		return "not known: " + firstLine(err)
	}
	return fmt.Sprint(n)
}

// hot waits until one leads and each other JobManager follows it, all have every TaskManager, and then for a moment
// whose length is drawn anew each time.
func (s *stage) hot(ctx context.Context) error {
	err := pollEach(ctx, 10*time.Millisecond, func() (bool, error) {
		for _, p := range s.cl.JobManagers {
			if !p.Running() {
				return false, fmt.Errorf("%s has ended: %s", p.Name, p.Tail())
			}
		}
		_, leader, err := leading(ctx, s.cl, s.cli)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		for i := range s.cl.JobManagers {
			self, err := s.cli.Self(ctx, s.cl.Rest[i])
			if err != nil || self.Leader != leader.REST || self.TaskManagers < len(s.cl.TaskManagers) {
				return false, nil //nolint:nilerr // not yet
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return sleep(ctx, 150*time.Millisecond+time.Duration(rand.Int64N(int64(150*time.Millisecond))))
}

// kill is one fault, by the clock that all processes of this machine share.
type kill struct {
	at             time.Time
	epoch, adopted time.Duration // from at
	takeover       client.Takeover
}

func epochs(kills []kill) (all []time.Duration) {
	for _, k := range kills {
		all = append(all, k.epoch)
	}
	return all
}

// suspicions are how long it took until a standby took the leader for dead.
func suspicions(kills []kill) (all []time.Duration) {
	for _, k := range kills {
		all = append(all, k.epoch-millis(k.takeover.ClaimMillis))
	}
	return all
}

func adoptions(kills []kill) (all []time.Duration) {
	for _, k := range kills {
		all = append(all, k.adopted)
	}
	return all
}

// strays counts takeovers that deployed something anew, or did not hear of every job in time.
func strays(kills []kill) (n int) {
	for _, k := range kills {
		if k.takeover.Redeployed+k.takeover.Unheard > 0 {
			n++
		}
	}
	return n
}

// causes counts what standbys took for the sign.
func causes(kills []kill) string {
	n := map[any]int{}
	for _, k := range kills {
		n[k.takeover.Cause]++
	}
	return fmt.Sprint(n)[len("map"):]
}

// killAll kills n leaders, or as many as there is time for, each when standbys are hot, and after each calls between, if that
// is something. It returns those that were replaced, whatever went wrong with others.
func (s *stage) killAll(ctx context.Context, n int, within time.Duration, between func(context.Context) error) (kills []kill, err error) {
	err = s.again(ctx, n, bounds{30 * time.Second, within}, func(ctx context.Context) error {
		k, err := s.killLeader(ctx)
		if err != nil {
			return err
		}
		kills = append(kills, k)
		if len(kills)%100 == 0 {
			fmt.Printf("(%d kills: epoch after %s, adopted after %s)\n", len(kills), three(epochs(kills)), three(adoptions(kills)))
		}
		if between != nil {
			return between(ctx)
		}
		return nil
	})
	return kills, errors.Join(err, s.bounded(ctx, time.Minute, s.hot))
}

// killLeader kills the leader when standbys are hot, and starts it again when another has taken over.
func (s *stage) killLeader(ctx context.Context) (kill, error) {
	if err := s.hot(ctx); err != nil {
		return kill{}, err
	}
	victim, was, err := leading(ctx, s.cl, s.cli)
	if err != nil {
		return kill{}, err
	}
	k := kill{at: time.Now()}
	victim.Kill()
	if k, err = s.taken(ctx, k, was.Epoch); err != nil {
		return k, err
	}
	return k, errors.Join(s.note(ctx), victim.Start(), sleep(ctx, time.Until(k.at.Add(gapWindow))))
}

// unwatched is for how long nobody asks the JobManagers after a kill how far they are: their records have the times, and the
// questions would take CPU time from what is measured.
const unwatched = 25 * time.Millisecond

// taken waits for the next leader, and completes k.
func (s *stage) taken(ctx context.Context, k kill, was coordination.Epoch) (kill, error) {
	if err := sleep(ctx, unwatched); err != nil {
		return k, err
	}
	t, err := successor(ctx, s.cl, s.cli, was)
	if err != nil {
		return k, err
	}
	k.takeover, k.epoch, k.adopted = t, since(k.at, t, t.ClaimMillis), since(k.at, t, t.Millis())
	if k.epoch < 0 || t.Epoch != was+1 {
		err = fmt.Errorf("epoch %d followed %d, by %+v", t.Epoch, was, t)
	}
	return k, err
}

// killStandby is the control: what a process that dies, and is started again, costs a machine of this size.
func (s *stage) killStandby(ctx context.Context) (at time.Time, err error) {
	if err := s.hot(ctx); err != nil {
		return at, err
	}
	leader, _, err := leading(ctx, s.cl, s.cli)
	if err != nil {
		return at, err
	}
	for _, p := range s.cl.JobManagers {
		if p != leader {
			at = time.Now()
			p.Kill()
			return at, errors.Join(s.note(ctx), p.Start(), sleep(ctx, time.Until(at.Add(gapWindow))))
		}
	}
	return at, errors.New("there is no standby")
}

// note notes the completed checkpoints. It is called more often than as many are completed as are kept.
func (s *stage) note(ctx context.Context) error {
	j, err := s.cli.Job(ctx, s.id)
	for _, c := range j.Checkpoints.Completed {
		s.checkpoints[c.ID] = c.Completed
	}
	return err
}

// longestWait is the longest time between two completed checkpoints, of the n that were noted, and how many were missed.
func (s *stage) longestWait() (longest time.Duration, n, missed int) {
	var first, last job.CheckpointID
	for id := range s.checkpoints {
		if first == 0 || id < first {
			first = id
		}
		last = max(last, id)
	}
	var before time.Time
	for id := first; id <= last && id > 0; id++ {
		at, noted := s.checkpoints[id]
		if !noted { // its id was given up, or it came and went between two looks
			missed++
			continue
		}
		if !before.IsZero() {
			longest = max(longest, at.Sub(before))
		}
		before = at
	}
	return longest, len(s.checkpoints), missed
}

// gapWindow is for how long after a kill the gaps at the sink are its own: no other follows in it.
const gapWindow = 200 * time.Millisecond

// gaps are the longest gaps at the sink within gapWindow of each kill.
func (s *stage) gaps(kills []kill) ([]time.Duration, error) {
	var at []time.Time
	for _, k := range kills {
		at = append(at, k.at)
	}
	return s.gapsAfter(at, gapWindow)
}

func (s *stage) gapsAfter(moments []time.Time, within time.Duration) (gaps []time.Duration, err error) {
	times, err := readArrivals(s.arrivals)
	if err == nil && len(times) < 100 {
		err = fmt.Errorf("only %d records arrived", len(times))
	}
	for _, at := range moments {
		gaps = append(gaps, longestGap(times, at, at.Add(within)))
	}
	return gaps, err
}
