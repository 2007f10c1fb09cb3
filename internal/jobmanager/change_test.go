package jobmanager

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestLeaderKilledInEachPhase kills the leader at a moment in a job's life, and expects a standby
// to bring it to the same end, with no task deployed anew.
func TestLeaderKilledInEachPhase(t *testing.T) {
	for _, c := range []struct {
		name   string
		reach  func(w *world, tm *fakeTaskManager, id job.ID) // the moment, under the first leader
		after  func(w *world, tm *fakeTaskManager, id job.ID) // what the world does then
		end    job.State
		deploy int // times that the TaskManager started attempt 1
	}{
		{
			name: "planning",
			reach: func(w *world, tm *fakeTaskManager, _ job.ID) {
				w.eventually("asked", func() bool { return tm.did("deaf to plan") > 0 })
			},
			after: func(w *world, _ *fakeTaskManager, id job.ID) {
				w.await(id, job.Running)
				w.cancel(id)
			},
			end: job.Canceled, deploy: 1,
		},
		{
			name: "running",
			reach: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
			},
			after: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("adopted", func() bool {
					j := w.job(id)
					return j.State == job.Running && j.Attempt == 1 && j.Vertices[0].Subtasks[0].PID == 4711
				})
				tm.change(id, job.Finished, "")
			},
			end: job.Finished, deploy: 1,
		},
		{
			name: "finished while nobody leads",
			reach: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
			},
			after: func(_ *world, tm *fakeTaskManager, id job.ID) { tm.change(id, job.Finished, "") },
			end:   job.Finished, deploy: 1,
		},
		{
			name: "between commit and deploy",
			reach: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("sent in vain", func() bool { return tm.did("deaf to deploy") > 0 })
			},
			after: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
				tm.change(id, job.Finished, "")
			},
			end: job.Finished, deploy: 1,
		},
		{
			name: "publishing",
			reach: func(w *world, tm *fakeTaskManager, id job.ID) {
				// A file where the directory should be: trouble of the moment, not a lost output.
				w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
				w.move(tm.dir, tm.dir+"-moved")
				w.write(filepath.Dir(tm.dir), filepath.Base(tm.dir))
				tm.change(id, job.Finished, "")
				w.eventually("committed", func() bool { return w.phase(id) == "PUBLISHING" })
			},
			after: func(w *world, tm *fakeTaskManager, _ job.ID) {
				w.move(tm.dir, tm.dir+"-file")
				w.move(tm.dir+"-moved", tm.dir)
			},
			end: job.Finished, deploy: 1,
		},
		{
			name: "cancelling",
			reach: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
				w.cancel(id)
				w.eventually("asked to stop", func() bool { return tm.did("deaf to stop") > 0 })
			},
			end: job.Canceled, deploy: 1,
		},
		{
			name: "failing",
			reach: func(w *world, tm *fakeTaskManager, id job.ID) {
				w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
				tm.change(id, job.Failed, "boom")
				w.eventually("asked to stop", func() bool { return tm.did("deaf to stop") > 0 })
			},
			end: job.Failed, deploy: 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.start("jm-a")
			w.leader()
			b := w.start("jm-b")
			tm := w.taskManager("tm-1", 2)
			tm.dir = filepath.Join(t.TempDir(), "out")
			if err := os.Mkdir(tm.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			w.write(tm.dir, ".part-0-1", ".part-1-1")
			tm.deaf["plan"] = c.name == "planning"
			tm.deaf["deploy"] = c.name == "between commit and deploy"
			tm.deaf["stop"] = c.end != job.Finished && c.name != "planning"
			tm.start()
			w.standbyOf(a, b)

			id := w.submit(a)
			c.reach(w, tm, id)
			tm.hear() // what was sent in vain is not sent again by this leader
			a.kill()
			if c.after != nil {
				c.after(w, tm, id)
			}
			j := w.await(id, c.end)
			if j.Attempt != 1 || tm.did("deploys attempt 1 slots [0 1]") != c.deploy {
				t.Errorf("attempts %d; the TaskManager: %q", j.Attempt, tm.history())
			}
			w.eventually("confirmed", func() bool { return tm.did("confirmed attempt 1") > 0 })
			if got := visible(tm.dir); c.end == job.Finished && got != "part-0-1 part-1-1" {
				t.Errorf("visible: %s", got)
			}
			took := b.Self().Takeover
			if took == nil || took.Epoch != 2 || took.Previous != "jm-a" || took.ServingMillis <= 0 || took.Jobs > 1 {
				t.Errorf("takeover: %+v", took)
			}
		})
	}
}

func (w *world) move(from, to string) {
	w.t.Helper()
	if err := os.Rename(from, to); err != nil {
		w.t.Fatal(err)
	}
}

// cancel asks whoever leads.
func (w *world) cancel(id job.ID) {
	w.t.Helper()
	w.eventually("cancel is answered", func() bool {
		for _, n := range w.jms {
			if _, err := n.Cancel(context.Background(), id); err == nil {
				return true
			}
		}
		return false
	})
}

// pair is a leader, jm-a, with a TaskManager of two slots, and a standby of it, jm-b.
func (w *world) pair() (a, b *node) {
	w.t.Helper()
	a = w.start("jm-a")
	w.leader()
	w.taskManager("tm-1", 2).start()
	b = w.start("jm-b")
	w.standbyOf(a, b)
	return a, b
}

// standbyOf waits until b holds a connection to the leader a, and its TaskManagers one to b.
func (w *world) standbyOf(a, b *node) {
	w.t.Helper()
	w.eventually("the standby is hot", func() bool {
		return slices.ContainsFunc(a.connections.listStandbys(), func(s *session) bool { return s.hello.ID == b.cfg.ID }) &&
			len(b.connections.attachedTaskManagers()) > 0
	})
}

func (c *connections) attachedTaskManagers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for i := range c.taskManagers {
		list = append(list, i)
	}
	return list
}

// A leader that is cut off does not know that it was replaced: TaskManagers refuse its epoch, and
// coordination its commits.
func TestZombieLeaderIsFenced(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 4).start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })

	b := w.start("jm-b")
	w.standbyOf(a, b)
	a.cut() // from coordination alone: its connections stand
	spec := w.spec()
	if _, err := a.Submit(t.Context(), spec); code(err) != api.Unavailable {
		t.Errorf("submitted to a leader without coordination: %v", err)
	}
	w.refusesToCallItCurrent(a, id)
	w.usurp()
	w.leader(a)
	// Epoch 3, or a later one where b has suspected a leader before.
	w.eventually("the TaskManager follows the new leader", func() bool { return tm.did(fmt.Sprintf("follows epoch %d", b.Self().Epoch)) == 1 })
	w.eventually("the zombie is refused", func() bool { return tm.did("refuses heartbeat of epoch 1") > 0 })
	if a.serving.Load() == nil {
		t.Fatal("the zombie knows already; the test shows nothing")
	}
	if _, err := b.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	a.heal()
	w.eventually("the zombie stands by", func() bool { return a.serving.Load() == nil && a.Self().Leader == b.self.REST })
	if _, err := a.Jobs(t.Context()); code(err) != api.NotLeader {
		t.Errorf("asked a standby: %v", err)
	}
	w.await(id, job.Canceled)
	if _, err := b.Job(t.Context(), spec.ID); code(err) != api.NotFound {
		t.Errorf("what the zombie was asked to commit: %v", err)
	}
}

// refusesToCallItCurrent asks n, which is cut off from coordination, all that is answered with
// what is so now (R15).
func (w *world) refusesToCallItCurrent(n *node, id job.ID) {
	w.t.Helper()
	questions := map[string]func(context.Context) error{
		"job":         func(ctx context.Context) error { _, err := n.Job(ctx, id); return err },
		"jobs":        func(ctx context.Context) error { _, err := n.Jobs(ctx); return err },
		"jobmanagers": func(ctx context.Context) error { _, err := n.JobManagers(ctx); return err },
		"cluster":     func(ctx context.Context) error { _, err := n.Cluster(ctx); return err },
		"cancel":      func(ctx context.Context) error { _, err := n.Cancel(ctx, id); return err },
	}
	var wg sync.WaitGroup
	for name, ask := range questions {
		wg.Go(func() {
			if err := ask(context.Background()); code(err) != api.Unavailable {
				w.t.Errorf("asked a leader without coordination for %s: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// usurp claims the next epoch and dies, so that a standby claims the one after it.
func (w *world) usurp() {
	w.t.Helper()
	s := w.coord.Open()
	l, err := s.Leader(w.t.Context())
	if err == nil {
		_, err = s.Claim(w.t.Context(), l, coordination.Candidate{ID: "usurper", Data: []byte("{}")}, coordination.NewNonce())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	s.Close()
}

// A client that asks again and again while leaders die has one job.
func TestRequestsRideThroughAChange(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	b := w.start("jm-b")
	tm := w.taskManager("tm-1", 2).start()
	w.standbyOf(a, b)
	spec := w.spec()

	var asked, answered atomic.Int64
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, n := range []*node{a, b} {
				asked.Add(1)
				if j, err := n.Submit(context.Background(), spec); err == nil && j.ID == spec.ID {
					answered.Add(1)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	w.eventually("the first leader answers", func() bool { return answered.Load() > 0 })
	a.kill()
	w.leader(a)
	before := answered.Load()
	w.eventually("the second leader answers", func() bool { return answered.Load() > before })
	close(stop)
	<-done
	w.await(spec.ID, job.Running)
	list, err := b.Jobs(t.Context())
	if err != nil || len(list) != 1 {
		t.Errorf("jobs: %+v, %v", list, err)
	}
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	if tm.did("deploys attempt 2 slots [0 1]") > 0 {
		t.Errorf("TaskManager: %q", tm.history())
	}
}

// SIGTERM: the standby need not find anything out.
func TestPoliteLeaderHandsOver(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	b := w.start("jm-b")
	w.taskManager("tm-1", 2).start()
	w.standbyOf(a, b)
	began := time.Now()
	a.stop()
	w.leader(a)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	<-a.done
	if a.err != nil {
		t.Errorf("Run: %v", a.err)
	}
}

func TestRestartedAloneAdopts(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	a.kill()
	<-a.done
	b := w.start("jm-b")
	w.leader(a)
	if b.Self().Epoch != 2 {
		t.Errorf("epoch %d", b.Self().Epoch)
	}
	w.eventually("adopted", func() bool { return w.job(id).Vertices != nil && w.job(id).Vertices[0].Subtasks[0].PID == 4711 })
	if h := tm.history(); slices.Contains(h, "deployed again attempt 1") || tm.did("deploys attempt 1 slots [0 1]") != 1 {
		t.Errorf("TaskManager: %q", h)
	}
}

// An attempt of a job that is not committed is stopped, and then forgotten.
func TestUnknownJobIsStopped(t *testing.T) {
	w := newWorld(t)
	w.start("jm-a")
	w.leader()
	tm := w.taskManager("tm-1", 2)
	ghost := job.NewID()
	tm.attempts[ghost] = &fakeAttempt{deploy: rpc.Deploy{Spec: job.Spec{ID: ghost}, Attempt: 3}, states: map[job.Subtask]rpc.SubtaskReport{}}
	tm.start()
	w.eventually("stopped and confirmed", func() bool {
		return tm.did("stops attempt 3") == 1 && tm.did("confirmed attempt 3") == 1
	})
}

func TestJobManagersAreListed(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	b := w.start("jm-b")
	w.eventually("both are listed", func() bool {
		list, err := a.JobManagers(t.Context())
		return err == nil && len(list) == 2 && list[0].ID == "jm-a" && list[0].Role == "leader" && list[0].Epoch == 1 &&
			list[1].ID == "jm-b" && list[1].Role == "standby" && list[1].REST == b.self.REST && list[1].PID == os.Getpid()
	})
	w.eventually("the standby names the leader", func() bool {
		_, err := b.JobManagers(t.Context())
		return code(err) == api.NotLeader && strings.Contains(err.Error(), a.self.REST)
	})
}

// A leader that was suspected wrongly comes back as a standby, and the new one takes note (L2).
func TestWrongSuspicionIsNoted(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	b := w.start("jm-b")
	w.taskManager("tm-1", 2).start()
	w.standbyOf(a, b)
	a.listener.Close() // it lives, and looks dead
	for _, s := range a.connections.listStandbys() {
		s.close()
	}
	w.leader(a)
	w.eventually("the suspicion is found to be wrong", func() bool {
		b.detector.mu.Lock()
		defer b.detector.mu.Unlock()
		return len(b.detector.wrong) == 1
	})
}

// Two JobManagers that cannot reach each other, and coordination both, do not replace each other
// without end: each finds that the one it gave up has claimed again, and becomes patient (L2).
func TestMutualSuspicionIsBounded(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.HeartbeatTimeout = 100 * time.Millisecond }
	a, b := w.start("jm-a"), w.start("jm-b")
	a.listener.Close()
	b.listener.Close()
	epoch := func() coordination.Epoch {
		s := w.coord.Open()
		defer s.Close()
		l, err := s.Leader(t.Context())
		if err != nil {
			t.Error(err)
		}
		return l.Epoch
	}
	w.eventually("both are patient", func() bool {
		return a.detector.timeout() > a.cfg.HeartbeatTimeout && b.detector.timeout() > b.cfg.HeartbeatTimeout
	})
	settled := epoch()
	if settled > 12 {
		t.Errorf("%d takeovers before both were patient", settled)
	}
	began := time.Now()
	w.eventually("two more takeovers", func() bool { return epoch() >= settled+2 })
	if took := time.Since(began); took < patience*a.cfg.HeartbeatTimeout/2 {
		t.Errorf("two takeovers took %v, want at least one patient wait of %v", took, patience*a.cfg.HeartbeatTimeout)
	}
}
