package jobmanager

import (
	"testing"
	"time"
)

// heldUp makes a registry believe that this process stood still for a while.
type heldUp struct{ d time.Duration }

func (h heldUp) apply(r *registry) { r.ticked -= h.d }

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
	l.registry.post(heldUp{time.Minute})
	w.eventually("the leader asks, and is not answered", func() bool { return l.registry.wondering(t) })
	if l.checks.Current(t.Context()) == nil { // asked after the leader, or together with it
		t.Fatal("coordination answers; the test shows nothing")
	}
	a.heal()
	tm.fall("heartbeat")
	w.eventually("declared dead", func() bool { return l.registry.deaths(t) == 1 })
}

// wondering asks the registry whether it is validating.
func (r *registry) wondering(t *testing.T) bool {
	answer := make(chan bool, 1)
	r.post(question(func(r *registry) { answer <- r.validating }))
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
	r.post(question(func(r *registry) {
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

type question func(*registry)

func (q question) apply(r *registry) { q(r) }

// fall makes it not react to a kind of message any more.
func (f *fakeTaskManager) fall(deafTo string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf[deafTo] = true
}
