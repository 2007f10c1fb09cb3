package jobmanager

import (
	"testing"
	"time"
)

// A leader that was held up asks whether it still leads before it judges others, and asks
// again while coordination does not answer (R11): silence counts again once it has.
func TestSilenceCountsAgainAfterAPause(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = 200 * time.Millisecond }
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	w.eventually("registered", func() bool { return tm.did("follows epoch 1") == 1 })

	a.cut()
	l := a.leading.Load()
	l.registry.post(happeningFunc(func(r *registry) { r.ticked -= time.Minute }))
	w.eventually("the leader asks, and is not answered", func() bool { return l.registry.wondering(t) })
	if l.checks.Current(t.Context()) == nil { // asked after the leader, or together with it
		t.Fatal("coordination answers; the test shows nothing")
	}
	a.heal()
	tm.fall("heartbeat")
	w.eventually("declared dead", func() bool { return l.registry.deaths(t) == 1 })
}

// Who was not heard while this process stood still has all of its time again (R11).
func TestAPauseExcusesTheSilenceInIt(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2)
	tm.deaf["heartbeat"] = true
	tm.start()
	w.leader()
	w.eventually("registered", func() bool { return tm.did("follows epoch 1") == 1 })
	r := a.leading.Load().registry
	r.post(happeningFunc(func(r *registry) {
		for _, m := range r.managers {
			m.session.heard.Add(int64(-time.Minute))
			m.seen -= time.Minute
		}
		r.ticked -= time.Minute
	}))
	ticks := func() uint64 {
		n := make(chan uint64, 1)
		r.post(happeningFunc(func(r *registry) { n <- r.sequence }))
		return <-n
	}
	w.eventually("the leader knows that it leads", func() bool { return !r.wondering(t) })
	before := ticks()
	w.eventually("it has looked at the others", func() bool { return ticks() > before+2 })
	if n := r.deaths(t); n != 0 {
		t.Errorf("%d TaskManagers were declared dead for a silence in which nobody could be heard", n)
	}
}

// A TaskManager whose death is being committed gets no slots.
func TestDoomedTaskManagerGetsNoSlots(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.taskManager("tm-1", 2).start()
	w.leader()
	w.eventually("it has slots", func() bool { c, err := a.Cluster(t.Context()); return err == nil && c.SlotsFree == 2 })
	free := make(chan int, 1)
	a.leading.Load().registry.post(happeningFunc(func(r *registry) {
		m := r.managers["tm-1"]
		m.doom = "soon"
		free <- len(r.free())
		m.doom = ""
	}))
	if n := <-free; n != 0 {
		t.Errorf("%d TaskManagers offer slots, want none", n)
	}
}

// wondering asks the registry whether it is validating.
func (r *registry) wondering(t *testing.T) bool {
	answer := make(chan bool, 1)
	r.post(happeningFunc(func(r *registry) { answer <- r.validating }))
	select {
	case yes := <-answer:
		return yes
	case <-r.done:
		t.Fatal("the term has ended")
		return false
	}
}

// deaths counts the TaskManagers whose death is committed.
func (r *registry) deaths(t *testing.T) int {
	answer := make(chan int, 1)
	r.post(happeningFunc(func(r *registry) {
		n := 0
		for _, m := range r.managers {
			if m.record.State == dead {
				n++
			}
		}
		answer <- n
	}))
	select {
	case n := <-answer:
		return n
	case <-r.done:
		t.Fatal("the term has ended")
		return 0
	}
}

// fall makes it not react to a kind of message any more.
func (f *fakeTaskManager) fall(deafTo string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf[deafTo] = true
}
