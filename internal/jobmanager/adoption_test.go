package jobmanager

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// twoJobs is a world with a job of two slots and one of one, each on a TaskManager of its own, and a leader that would
// wait for a minute.
func twoJobs(t *testing.T) (w *world, a *node, two, one *fakeTaskManager, ofTwo, ofOne job.ID) {
	w = newWorld(t)
	w.tune = func(c *Config) { c.HeartbeatTimeout, c.TaskManagerTimeout = time.Minute, time.Minute }
	a = w.start("jm-a")
	w.leader()
	start := func(instance string, parallelism int) (*fakeTaskManager, job.ID) {
		tm := w.taskManager(instance, parallelism)
		tm.plan = func(p rpc.Plan) rpc.Planned { return planOf(p.Spec.Parallelism)(p) }
		tm.start()
		w.eventually("registered", func() bool { return tm.did("follows epoch 1") > 0 })
		spec := w.spec()
		spec.Parallelism = parallelism
		if _, err := a.Submit(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		w.eventually("deployed", func() bool {
			tm.mu.Lock()
			defer tm.mu.Unlock()
			return tm.attempts[spec.ID] != nil
		})
		return tm, spec.ID
	}
	two, ofTwo = start("tm-two", 2)
	one, ofOne = start("tm-one", 1)
	return w, a, two, one, ofTwo, ofOne
}

// adopts expects a job to be answered as it runs, while the leader still waits for others.
func (w *world) adopts(n *node, id job.ID) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
	defer cancel()
	j, err := n.Job(ctx, id)
	if err != nil || j.State != job.Running || j.Vertices[0].Subtasks[0].PID != 4711 {
		w.t.Errorf("the other job is %s, %v", j.State, err)
	}
	select {
	case <-n.serving.Load().settled:
		w.t.Error("nobody holds up anything")
	default:
	}
}

// TestSilentTaskManagerHoldsUpNoOther: one that is connected and does not answer a new leader holds up the job that it
// runs, and no other.
func TestSilentTaskManagerHoldsUpNoOther(t *testing.T) {
	w, a, two, _, _, ofOne := twoJobs(t)
	two.mu.Lock()
	two.deaf["lead"] = true
	two.mu.Unlock()
	b := w.start("jm-b")
	w.eventually("both are connected", func() bool { return len(b.connections.attachedTaskManagers()) == 2 })
	a.kill()
	w.leader(a)
	w.adopts(b, ofOne)
}

// TestPlanThatCannotBeReadHoldsUpNoOther: a job whose plan is not to be had waits for it, and no other job does.
func TestPlanThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	w, a, _, _, ofTwo, ofOne := twoJobs(t)
	plan := a.leading.Load().jobs.find(ofTwo).written.Load().intent.GraphHash
	if err := w.storage.DeleteShared(t.Context(), storage.GraphName(plan)); err != nil {
		t.Fatal(err)
	}
	b := w.start("jm-b")
	w.eventually("both are connected", func() bool { return len(b.connections.attachedTaskManagers()) == 2 })
	a.kill()
	w.leader(a)
	w.adopts(b, ofOne)
}

// TestPlansAreAtHand: a standby has read the plans of the jobs that go on before it leads, and forgets those of others.
func TestPlansAreAtHand(t *testing.T) {
	w, a, _, _, ofTwo, ofOne := twoJobs(t)
	b := w.start("jm-b")
	at := func(plans int) func() bool {
		return func() bool {
			b.shelf.mu.Lock()
			defer b.shelf.mu.Unlock()
			return len(b.shelf.plans) == plans
		}
	}
	w.eventually("both plans are at hand", at(2))
	w.eventually("both are connected", func() bool { return len(b.connections.attachedTaskManagers()) == 2 })
	w.cancel(ofOne)
	w.eventually("one plan is at hand", at(1))
	plan := a.leading.Load().jobs.find(ofTwo).written.Load().intent.GraphHash
	if err := w.storage.DeleteShared(t.Context(), storage.GraphName(plan)); err != nil {
		t.Fatal(err)
	}
	a.kill()
	w.leader(a)
	if j, err := b.Job(t.Context(), ofTwo); err != nil || j.State != job.Running || j.Vertices[0].Subtasks[0].PID != 4711 {
		t.Errorf("without storage the job is %s, %v", j.State, err)
	}
}

// TestIntentThatStorageWithholds: a job whose intent storage does not give as a leader takes over is left alone, and led once storage does;
// no other job waits for that. One whose intent is lost is left alone for good.
func TestIntentThatStorageWithholds(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 6).start()
	w.leader()
	submit := func(size int) job.ID {
		spec := w.spec()
		spec.Args = []string{strings.Repeat("x", size)}
		if _, err := a.Submit(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		w.await(spec.ID, job.Running)
		return spec.ID
	}
	small, withheld, lost := submit(1), submit(maxIntent), submit(maxIntent)
	w.eventually("all are deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 3 })
	before := a.leading.Load()
	a.kill()
	<-a.done
	intents := filepath.Join(w.storage.Dir(), "intents")
	w.move(intents, intents+".away")
	if err := os.WriteFile(intents, nil, 0o600); err != nil { // so that no file is there, and none is missing
		t.Fatal(err)
	}
	b := w.start("jm-b")
	l := w.leader(a).leading.Load()
	unreadable := func(ids ...job.ID) {
		t.Helper()
		for _, id := range ids {
			if _, err := b.Job(t.Context(), id); code(err) != api.Unavailable {
				t.Errorf("job %s: %v", id, err)
			}
		}
	}
	if j, err := b.Job(t.Context(), small); err != nil || j.State != job.Running {
		t.Errorf("the other job is %s, %v", j.State, err)
	}
	unreadable(withheld, lost)
	if err := os.Remove(intents); err != nil {
		t.Fatal(err)
	}
	w.move(intents+".away", intents)
	if err := os.Remove(filepath.Join(intents, before.jobs.find(lost).written.Load().blob)); err != nil {
		t.Fatal(err)
	}
	l.jobs.awaitWithheld(l.ctx, time.Millisecond)
	if !errors.Is(l.over(), errGiven) {
		t.Fatalf("the term goes on, or has ended with %v", l.over())
	}
	w.eventually("it is led", func() bool {
		j, err := b.Job(t.Context(), withheld)
		return err == nil && j.State == job.Running && j.Restarts == 0
	})
	unreadable(lost)
	next := b.leading.Load()
	if next.jobs.awaitWithheld(next.ctx, time.Millisecond); next.ctx.Err() != nil || next.term.Epoch() != 3 {
		t.Errorf("epoch %d: the term has ended with %v, as an intent is lost", next.term.Epoch(), next.over())
	}
	if n := tm.did("deploys attempt 1 slots [0 1]"); n != 3 {
		t.Errorf("deployed %d times", n)
	}
}

// TestPlansAreTriedAgain: a plan that storage did not give is on the shelf once it does, though the leader tells its name once.
func TestPlansAreTriedAgain(t *testing.T) {
	w := newWorld(t)
	hash, err := w.storage.PutGraph(t.Context(), planOf(1)(rpc.Plan{}).Graph)
	if err != nil {
		t.Fatal(err)
	}
	graphs := filepath.Join(w.storage.Dir(), "graphs")
	w.move(graphs, graphs+".away")
	if err := os.WriteFile(graphs, nil, 0o600); err != nil { // so that none is missing
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(w.storage, w.logger())
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()
		wg.Go(func() { s.run(ctx) })
		has := func(want int) {
			t.Helper()
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.plans) != want {
				t.Errorf("%d plans are on the shelf, want %d", len(s.plans), want)
			}
		}
		s.want([]string{hash})
		has(0)
		if err := os.Remove(graphs); err != nil {
			t.Fatal(err)
		}
		w.move(graphs+".away", graphs)
		time.Sleep(shelfPause) // of the bubble's clock
		has(1)
		s.want([]string{})
		has(0)
	})
}
