package jobmanager

import (
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/restart"
	"github.com/perennial-io/perennial/internal/rpc"
)

// A TaskManager is drained: its job moves from a checkpoint that is taken for that, and it ends.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.Restart.Kind = restart.None }
	n := w.start("jm-a")
	tm1, tm2 := w.taskManager("tm-1", 1).start(), w.taskManager("tm-2", 1).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm1.did("deploys attempt 1 slots [0]")+tm2.did("deploys attempt 1 slots [1]") == 2 })
	w.await(id, job.Running)

	err := n.DrainTaskManager(t.Context(), "tm-1", false)
	if code(err) != api.Conflict || !strings.Contains(err.Error(), "1 slots on TaskManager tm-1, and 0 are free elsewhere: 1 are missing") {
		t.Fatalf("without slots elsewhere: %v", err)
	}
	if err := n.DrainTaskManager(t.Context(), "tm-9", false); code(err) != api.NotFound {
		t.Fatalf("one that is not there: %v", err)
	}
	tm3 := w.taskManager("tm-3", 1).start()
	w.eventually("registered", func() bool { return tm3.did("follows epoch 1") == 1 })
	for range 2 { // asked again it changes nothing
		w.eventually("drained", func() bool {
			err := n.DrainTaskManager(t.Context(), "tm-1", false)
			return err == nil || code(err) == api.NotFound
		})
	}
	w.eventually("moved", func() bool {
		return tm3.did("deploys attempt 2 slots [0]") == 1 && tm2.did("deploys attempt 2 slots [1]") == 1
	})
	w.eventually("ended", func() bool { return tm1.did("retires") == 1 })
	if tm1.did("triggers 1 stop=false") != 1 || tm1.did("stops attempt 1") != 1 {
		t.Errorf("it was not left in order: %q", tm1.history())
	}
	if j := w.await(id, job.Running); j.Restarts != 0 || j.Checkpoints.Restored != 1 {
		t.Errorf("%d restarts, from checkpoint %d", j.Restarts, j.Checkpoints.Restored)
	}
	w.eventually("gone from the list", func() bool { list, err := n.TaskManagers(t.Context()); return err == nil && len(list) == 2 })
	w.eventually("its end is in order", func() bool { return n.DrainTaskManager(t.Context(), "tm-1", false) == nil })
}

// It is committed: the next leader goes on with it. Until all has moved it does not end.
func TestDrainOutlivesTheLeader(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm1, tm2, tm3 := w.taskManager("tm-1", 1).start(), w.taskManager("tm-2", 1), w.taskManager("tm-3", 1)
	tm2.deaf["trigger"] = true
	tm2.start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm1.did("deploys attempt 1 slots [0]")+tm2.did("deploys attempt 1 slots [1]") == 2 })
	tm3.start()
	w.eventually("registered, and drained", func() bool { return a.DrainTaskManager(t.Context(), "tm-1", false) == nil })
	w.eventually("a checkpoint is under way", func() bool { return tm2.did("deaf to trigger") == 1 })
	list, err := a.TaskManagers(t.Context())
	if err != nil || len(list) != 3 || !list[0].Draining || list[0].SlotsFree != 0 || len(list[0].Jobs) != 1 || !list[0].Connected {
		t.Errorf("%+v, %v", list, err)
	}
	tm2.hear()
	a.kill()
	w.start("jm-b")
	w.leader(a)
	w.eventually("moved", func() bool {
		return tm3.did("deploys attempt 2 slots [0]") == 1 && tm2.did("deploys attempt 2 slots [1]") == 1
	})
	w.eventually("ended", func() bool { return tm1.did("retires") == 1 })
	if j := w.await(id, job.Running); j.Restarts != 0 {
		t.Errorf("%d restarts", j.Restarts)
	}
}

// TaskManagers are listed with what they say of themselves, and those that a new leader has not met with when it gives them up.
func TestTaskManagersAreListed(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = time.Minute }
	a := w.start("jm-a")
	tm1, tm2 := w.taskManager("tm-1", 2), w.taskManager("tm-2", 1)
	tm1.load = &rpc.Load{Average: 0.5, Processes: 1, Memory: 1 << 20}
	tm1.start()
	tm2.start()
	w.leader()
	w.eventually("registered", func() bool { return tm1.did("follows epoch 1") == 1 && tm2.did("follows epoch 1") == 1 })
	a.kill()
	tm2.kill()
	b := w.start("jm-b")
	w.leader(a)
	var list []api.TaskManager
	w.eventually("the load is known", func() bool {
		list, _ = b.TaskManagers(t.Context())
		return len(list) == 2 && list[0].Load != nil
	})
	if one := list[0]; one.ID != "tm-1" || !one.Connected || one.Dead != nil || one.Slots != 2 || one.SlotsFree != 2 || *one.Load != (api.Load{Average: 0.5, Processes: 1, Memory: 1 << 20}) {
		t.Errorf("%+v", one)
	}
	two := list[1]
	if two.ID != "tm-2" || two.Connected || two.Dead == nil || two.SlotsFree != 0 || two.Since.After(time.Now()) {
		t.Fatalf("%+v", two)
	}
	if wait := two.Dead.Sub(two.Since); wait < 59*time.Second || wait > 61*time.Second {
		t.Errorf("out of reach since %v, and declared dead at %v", two.Since, two.Dead)
	}
	if f := b.Figures(); f.Led == nil || len(f.Led.TaskManagers) != 2 {
		t.Errorf("figures: %+v", f.Led)
	}
}

// With force nothing is looked at: the job stops, and waits for slots.
func TestForcedDrain(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	if err := n.DrainTaskManager(t.Context(), "tm-1", true); err != nil {
		t.Fatal(err)
	}
	w.eventually("waits for slots", func() bool { j := w.job(id); return j.State == job.Created && j.SlotsMissing == 2 })
	w.eventually("ended", func() bool { return tm.did("retires") == 1 })
	w.taskManager("tm-2", 2).start()
	if j := w.await(id, job.Running); j.Restarts != 0 || j.Attempt != 2 {
		t.Errorf("%d restarts, attempt %d", j.Restarts, j.Attempt)
	}
}

// One that connects anew while its drain is being committed follows the leader again: else it would hold its slots,
// unheard, for the rest of the term.
func TestDrainOfOneThatReconnects(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 1).start()
	w.leader()
	w.eventually("registered", func() bool { return tm.did("follows epoch 1") == 1 })
	l := n.leading.Load()
	w.eventually("its report was heard", func() (ready bool) {
		l.ask(func(r *registry) { ready = r.managers["tm-1"].ready })
		return ready
	})
	var before *session
	l.ask(func(r *registry) {
		before = r.managers["tm-1"].session
		n.cut() // the commit waits
		drainAsked{"tm-1", false, make(chan error, 1)}.apply(r)
	})
	tm.disconnect()
	w.eventually("connected anew", func() (anew bool) {
		l.ask(func(r *registry) {
			m := r.managers["tm-1"]
			anew = m.busy && m.session != nil && m.session != before
		})
		return anew
	})
	n.heal()
	w.eventually("it ends", func() bool { return tm.did("retires") == 1 })
}

// ask has the registry's goroutine do something, and waits for it.
func (l *leader) ask(do func(*registry)) {
	done := make(chan struct{})
	l.registry.post(doing(func(r *registry) { defer close(done); do(r) }))
	<-done
}

// doing is a happening of a test.
type doing func(*registry)

func (f doing) apply(r *registry) { f(r) }

// Two that are drained at once want slots for both: the second is not promised those that the first will take.
func TestTwoDrains(t *testing.T) {
	manager := func(instance string, slots int, draining bool) *taskManager {
		return &taskManager{instance: instance, ready: true, record: taskManagerRecord{State: live, Slots: slots, Draining: draining}}
	}
	r := &registry{
		managers: map[string]*taskManager{"tm-1": manager("tm-1", 2, true), "tm-2": manager("tm-2", 2, false), "tm-3": manager("tm-3", 2, false)},
		claims:   map[job.ID][]string{"a": {"tm-1", "tm-1"}, "b": {"tm-2"}},
		reserved: map[job.ID]int{},
	}
	for _, c := range []struct {
		reserved string // by job a, on this TaskManager
		want     string
	}{
		{"", "jobs have 1 slots on TaskManager tm-2 and 2 on others that are drained, and 2 are free elsewhere: 1 are missing"},
		{"tm-3", "jobs have 1 slots on TaskManager tm-2, and 0 are free elsewhere: 1 are missing"},
	} {
		if c.reserved != "" {
			r.claims["a"], r.reserved["a"] = append(r.claims["a"], c.reserved, c.reserved), 2
		}
		if err := r.refuseDrain(r.managers["tm-2"], false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	r.managers["tm-4"] = manager("tm-4", 1, false)
	if err := r.refuseDrain(r.managers["tm-2"], false); err != nil {
		t.Errorf("with a slot for it: %v", err)
	}
}

// The last TaskManager may go when nothing runs on it.
func TestDrainOfTheLast(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	w.eventually("registered", func() bool { return tm.did("follows epoch 1") == 1 })
	id := w.submit(n)
	w.await(id, job.Running)
	if err := n.DrainTaskManager(t.Context(), "tm-1", false); code(err) != api.Conflict || !strings.Contains(err.Error(), "2 slots on TaskManager tm-1, and 0 are free elsewhere") {
		t.Errorf("with a job on it: %v", err)
	}
	if _, err := n.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await(id, job.Canceled)
	w.eventually("drained", func() bool { return n.DrainTaskManager(t.Context(), "tm-1", false) == nil })
	w.eventually("ended", func() bool { return tm.did("retires") == 1 })
}

// One that dies while it is drained has not ended in order, and whoever asks is told. Its job restarts, and that is counted.
func TestKilledWhileDrained(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm1, tm2 := w.taskManager("tm-1", 1).start(), w.taskManager("tm-2", 1)
	tm2.deaf["trigger"] = true
	tm2.start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm1.did("deploys attempt 1 slots [0]")+tm2.did("deploys attempt 1 slots [1]") == 2 })
	tm3 := w.taskManager("tm-3", 1).start()
	w.eventually("registered, and drained", func() bool { return n.DrainTaskManager(t.Context(), "tm-1", false) == nil })
	w.eventually("a checkpoint is under way", func() bool { return tm2.did("deaf to trigger") == 1 })
	tm1.kill()
	w.eventually("dead", func() bool { list, err := n.TaskManagers(t.Context()); return err == nil && len(list) == 2 })
	err := n.DrainTaskManager(t.Context(), "tm-1", false)
	if code(err) != api.Conflict || !strings.Contains(err.Error(), "TaskManager tm-1 died before its end was in order: its connection ended and its data port refuses") {
		t.Errorf("asked for a drain of what has died while it was drained: %v", err)
	}
	w.eventually("restarted", func() bool {
		return tm2.did("deploys attempt 2 slots [0]")+tm2.did("deploys attempt 2 slots [1]") == 1 && tm3.did("deploys attempt 2 slots [0]")+tm3.did("deploys attempt 2 slots [1]") == 1
	})
	if j := w.await(id, job.Running); j.Restarts != 1 {
		t.Errorf("%d restarts: %s", j.Restarts, j.Failure)
	}
}
