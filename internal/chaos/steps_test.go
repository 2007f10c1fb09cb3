package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// step is how a job is brought to a point. Most come by themselves with each checkpoint of an unbounded job.
type step struct {
	bounded bool
	provoke func(w *walk, r *round, p failpoint.Point) error // nil: nothing
}

// steps are the points that need more than that.
var steps = map[failpoint.Point][]step{
	failpoint.LeaderClaimed:       {{provoke: (*walk).killLeader}},
	failpoint.LeaderRead:          {{provoke: (*walk).killLeader}},
	failpoint.LeaderAdopted:       {{provoke: (*walk).killLeader}},
	failpoint.LeaderServes:        {{provoke: (*walk).killLeader}},
	failpoint.LeaderAborts:        {{provoke: (*walk).breakStorage}},
	failpoint.LeaderAborted:       {{provoke: (*walk).breakStorage}},
	failpoint.LeaderRenames:       {{}, {bounded: true}},
	failpoint.LeaderRenamed:       {{}, {bounded: true}},
	failpoint.LeaderPublished:     {{}, {bounded: true}},
	failpoint.LeaderRestarts:      {{provoke: (*walk).killTask}},
	failpoint.LeaderRestarted:     {{provoke: (*walk).killTask}},
	failpoint.LeaderStrikes:       {{bounded: true, provoke: (*walk).damage}},
	failpoint.LeaderStruck:        {{bounded: true, provoke: (*walk).damage}},
	failpoint.LeaderStopped:       {{provoke: (*walk).killTask}},
	failpoint.LeaderResumes:       {{provoke: (*walk).killTask}},
	failpoint.LeaderResumed:       {{provoke: (*walk).killTask}},
	failpoint.LeaderDeployed:      {{provoke: (*walk).killTask}},
	failpoint.LeaderEnds:          {{bounded: true}},
	failpoint.LeaderEnded:         {{bounded: true}},
	failpoint.LeaderFinishes:      {{bounded: true}},
	failpoint.LeaderFinished:      {{bounded: true}},
	failpoint.TaskManagerReported: {{provoke: (*walk).killLeader}},
	failpoint.TaskManagerStarts:   {{provoke: (*walk).killTask}},
	failpoint.TaskManagerStarted:  {{provoke: (*walk).killTask}},
	failpoint.TaskManagerStops:    {{provoke: (*walk).killTask}},
	failpoint.TaskRestores:        {{provoke: (*walk).killTask}},
	failpoint.TaskRestored:        {{provoke: (*walk).killTask}},
	failpoint.TaskFinishes:        {{bounded: true}},
	failpoint.TaskFinished:        {{bounded: true}},
	failpoint.SinkClears:          {{provoke: (*walk).killTask}},
}

// late are where a leader is also frozen until another one leads: it then goes on with what it was about to do.
var late = []failpoint.Point{
	failpoint.LeaderClaimed, failpoint.LeaderRead, failpoint.LeaderServes, failpoint.LeaderAdopted,
	failpoint.LeaderReserves, failpoint.LeaderStores, failpoint.LeaderCompletes, failpoint.LeaderRenames, failpoint.LeaderRenamed,
	failpoint.LeaderUnlists, failpoint.LeaderResumes, failpoint.LeaderEnds, failpoint.LeaderFinishes,
}

// TestKilledAtEachStep kills a process at each failpoint that there is, one by one, and requires the output of
// an undisturbed run. One that no process comes to is a failure. (Row 6 of docs/faults.md: the steps of a takeover are among
// them; and row 5: a leader that is frozen before a step goes on with it when another leads.)
func TestKilledAtEachStep(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	const clusters = 2
	for share := range clusters {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			t.Parallel()
			w := newWalk(t)
			for i, p := range failpoint.All() {
				if i%clusters != share {
					continue
				}
				todo := steps[p]
				if todo == nil {
					todo = []step{{}}
				}
				for _, s := range todo {
					t.Run(fmt.Sprint(p, kind(s.bounded)), func(t *testing.T) { w.to(t, p, failpoint.Kill, s) })
				}
				if slices.Contains(late, p) {
					t.Run(fmt.Sprint(p, "-late"), func(t *testing.T) { w.to(t, p, failpoint.Stop, todo[0]) })
				}
			}
		})
	}
}

func kind(bounded bool) string {
	if bounded {
		return "-bounded"
	}
	return ""
}

// walk is a cluster whose processes die at failpoints, and are started again.
type walk struct {
	cluster *localcluster.Cluster
	client  *client.Client
	dir     string
	points  string // where failpoints are armed
	binary  string // of the job
	ctx     context.Context
	jobs    int
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &walk{dir: dir, points: filepath.Join(dir, "failpoints"), binary: self}
	w.cluster, err = localcluster.Start(localcluster.Config{
		Binary: perennial, Dir: dir, JobManagers: 3, TaskManagers: 2, Slots: 4, Embedded: true, Failpoints: w.points,
		Settings: map[string]string{"checkpoint.interval": "50ms", "taskmanager.timeout": "2s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 6*time.Minute, errors.New("the test's 6 minutes are over"))
	w.ctx, w.client = ctx, w.cluster.Client()
	revived := w.revive(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.cluster.Logs())
		}
		cancel()
		revived()
		w.client.Close()
		w.cluster.Stop()
	})
	return w
}

// revive starts again whatever process of the cluster ends, as a supervisor does, until ctx ends; the
// function that it returns waits for that.
func (w *walk) revive(t *testing.T) (wait func()) {
	var all sync.WaitGroup
	for _, p := range append(w.cluster.JobManagers, w.cluster.TaskManagers...) {
		all.Go(func() {
			for {
				select {
				case <-p.Done():
					if err := p.Start(); err != nil {
						t.Error(err)
						return
					}
				case <-w.ctx.Done():
					return
				}
			}
		})
	}
	return all.Wait
}

// to runs a job, has whoever comes to the point first do the action, and compares the output.
func (w *walk) to(t *testing.T, p failpoint.Point, a failpoint.Action, s step) {
	if err := w.cluster.Ready(w.ctx, w.client); err != nil {
		t.Fatal(err)
	}
	w.jobs++
	c := Config{Site: &Site{Cluster: w.cluster, Storage: Storage{Dir: filepath.Join(w.dir, "storage")}}, Binary: w.binary, Dir: w.dir,
		Seed: w.jobs, Records: 2_000, Rate: 3_000, Unbounded: !s.bounded, Say: t.Logf}
	r, err := begin(w.ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.client.Close()
	if err := w.through(r, p, a, s); err != nil {
		t.Fatal(err)
	}
	result, err := r.end(w.ctx)
	if err != nil || result.Wrong() {
		t.Errorf("%v, %v", result, err)
	}
}

// through arms the point once the job has two checkpoints, and returns when somebody has come to it.
func (w *walk) through(r *round, p failpoint.Point, a failpoint.Action, s step) error {
	if err := w.checkpointed(r); err != nil {
		return err
	}
	if err := failpoint.Arm(w.points, p, a, 1); err != nil {
		return err
	}
	if s.provoke != nil {
		if err := s.provoke(w, r, p); err != nil {
			return err
		}
	}
	err := w.hit(r, p)
	_, e := failpoint.Disarm(w.points, p)
	if a == failpoint.Stop && err == nil {
		err = w.thaw()
	}
	return errors.Join(err, e)
}

// thaw lets the JobManager that is frozen go on once another one leads.
func (w *walk) thaw() error {
	var frozen *localcluster.Process
	err := w.cluster.Until(w.ctx, func() error {
		for _, p := range w.cluster.JobManagers {
			if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID())); err == nil && strings.Contains(string(stat), ") T ") {
				frozen = p
				return nil
			}
		}
		return errors.New("no JobManager is frozen")
	})
	if err != nil {
		return err
	}
	return errors.Join(w.succeeded(frozen), frozen.Signal(syscall.SIGCONT))
}

// succeeded waits until another one leads. It asks the others only: a frozen one takes requests, and answers none.
func (w *walk) succeeded(old *localcluster.Process) error {
	var others []string
	for i, p := range w.cluster.JobManagers {
		if p != old {
			others = append(others, w.cluster.Rest[i])
		}
	}
	return w.cluster.Until(w.ctx, func() error {
		ctx, cancel := context.WithTimeout(w.ctx, 200*time.Millisecond) // the others may send on to it
		defer cancel()
		c := client.New(client.Fixed(others...))
		defer c.Close()
		now, _, err := w.cluster.Leader(ctx, c)
		if err == nil && now == old {
			err = fmt.Errorf("%s leads, although it is frozen", old.Name)
		}
		return err
	})
}

// hit waits until somebody has come to the point. A job that ends without has passed it by.
func (w *walk) hit(r *round, p failpoint.Point) error {
	var j client.Job
	err := w.cluster.Until(w.ctx, func() error {
		if hit, err := failpoint.Hit(w.points, p); err != nil || hit || j.State.Terminal() {
			return err
		}
		ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond) // the leader may be frozen by now
		defer cancel()
		now, err := r.client.Job(ctx, r.id)
		if err == nil {
			j = now
			err = fmt.Errorf("nobody came to %v, and the job is %s", p, j.State)
		}
		return err
	})
	hit, e := failpoint.Hit(w.points, p)
	if err == nil && e == nil && !hit {
		e = fmt.Errorf("nobody came to %v before the job was %s: is it still called?", p, j.State)
	}
	return errors.Join(err, e)
}

// checkpointed waits until two checkpoints are complete.
func (w *walk) checkpointed(r *round) error {
	return w.cluster.Until(w.ctx, func() error {
		j, err := r.client.Job(w.ctx, r.id)
		if done := len(j.Checkpoints.Completed); err == nil && done < 2 {
			err = fmt.Errorf("%d checkpoints are complete, and the job is %s", done, j.State)
		}
		return err
	})
}

func (w *walk) killTask(r *round, _ failpoint.Point) error { return r.killTask(w.ctx) }

func (w *walk) killLeader(r *round, _ failpoint.Point) error {
	leader, _, err := w.cluster.Leader(w.ctx, w.client)
	if err == nil {
		leader.Kill()
	}
	return err
}

// breakStorage has it fail until somebody has come to the point.
func (w *walk) breakStorage(r *round, p failpoint.Point) error {
	back, err := r.Storage.TakeAway()
	if err != nil {
		return err
	}
	return errors.Join(w.hit(r, p), back())
}

// damage spoils the newest checkpoint, and kills a task process. It freezes that first: so no newer one comes.
func (w *walk) damage(r *round, _ failpoint.Point) error {
	pid, err := r.task(w.ctx)
	if err != nil {
		return err
	}
	if err := r.signalTask(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	newest, err := w.settled(r)
	if err == nil {
		err = os.Truncate(filepath.Join(r.Storage.Dir, newest.Location), 10)
	}
	return errors.Join(err, r.signalTask(pid, syscall.SIGKILL))
}

// settled returns the newest checkpoint once none is completed any more.
func (w *walk) settled(r *round) (newest api.Checkpoint, err error) {
	same := 0
	err = w.cluster.Until(w.ctx, func() error {
		j, err := r.client.Job(w.ctx, r.id)
		if err != nil {
			return err
		}
		if now := j.Checkpoints.Completed[0]; now != newest {
			newest, same = now, 0
		}
		if same++; same < 10 {
			err = errors.New("checkpoints are completed, although a task process is frozen")
		}
		return err
	})
	return newest, err
}
