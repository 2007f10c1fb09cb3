package minicluster

import (
	"fmt"
	"slices"
	"sync"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Kind is the sort of an Event.
type Kind string

// The kinds of Event.
const (
	Step     Kind = "step"     // the test's own: what happens next (Cluster.Step)
	Claimed  Kind = "claimed"  // Process has claimed Epoch
	Resumed  Kind = "resumed"  // Process goes on under Epoch over a new session
	Fenced   Kind = "fenced"   // a commit of Process was refused: its epoch is over
	Decided  Kind = "decided"  // Process has committed Intent
	Recorded Kind = "recorded" // Process has committed Record, of the TaskManager Instance
	Sent     Kind = "sent"     // Message has come from Process to To
)

// Event is something that a part of the cluster did and another could learn of. Heartbeats and
// progress are none.
type Event struct {
	Kind     Kind
	Process  string // jm-1; after a restart jm-1.2
	To       string
	Epoch    coordination.Epoch // claimed, or of the message
	Instance string             // of the TaskManager that has a part in it
	Intent   execution.Intent
	Record   Record
	Message  rpc.Message
	Text     string // of a Step
	Lost     bool   // it was held by a Trap until its author or its receiver was gone
}

// Record is what is committed about a TaskManager.
type Record struct {
	Slots  int    `json:"slots"`
	State  string `json:"state"` // live or dead
	Reason string `json:"reason"`
}

// Job is the job that the event is about, or "".
func (e *Event) Job() job.ID {
	if e.Kind == Decided {
		return e.Intent.Spec.ID
	}
	id, _ := about(e.Message)
	return id
}

// about tells which attempt of which job a message is about.
func about(m rpc.Message) (job.ID, job.Attempt) {
	switch m := m.(type) {
	case rpc.Plan:
		return m.Spec.ID, 0
	case rpc.Planned:
		return m.Job, 0
	case rpc.Deploy:
		return m.Spec.ID, m.Attempt
	case rpc.Status:
		return m.Job, m.Attempt
	case rpc.Stop:
		return m.Job, m.Attempt
	case rpc.Stopped:
		return m.Job, m.Attempt
	case rpc.Confirm:
		return m.Job, m.Attempt
	}
	return "", 0
}

// String is for the log of a test that failed.
func (e Event) String() string {
	s := fmt.Sprintf("%-8s %s", e.Kind, e.Process)
	switch e.Kind {
	case Step:
		s = "-- " + e.Text
	case Decided:
		s += fmt.Sprintf(": job %s %s attempt %d %s %s", e.Intent.Spec.ID.Short(), e.Intent.Phase, e.Intent.Attempt, e.Intent.Assignment, e.Intent.Failure)
	case Recorded:
		s += fmt.Sprintf(": %s is %s %s", e.Instance, e.Record.State, e.Record.Reason)
	case Sent:
		s += fmt.Sprintf(" -> %s: %s %+v", e.To, e.Message.Kind(), e.Message)
	default:
		s += fmt.Sprintf(": epoch %d", e.Epoch)
	}
	if e.Lost {
		s += " (lost)"
	}
	return s
}

// chronicle is all that happened, in an order in which it can have happened: an event is added
// before anything can follow from it. It grows for as long as the cluster lives.
type chronicle struct {
	mu      sync.Mutex
	events  []Event
	traps   []*Trap
	changed chan struct{} // closed, and replaced, with each event
}

func newChronicle() *chronicle { return &chronicle{changed: make(chan struct{})} }

// add notes an event, and waits while a Trap holds it. It returns false if quit is closed before
// the trap lets go: then the event is noted as lost.
func (c *chronicle) add(e Event, quit <-chan struct{}) bool {
	c.mu.Lock()
	at := len(c.events)
	c.events = append(c.events, e)
	var trap *Trap
	for _, t := range c.traps {
		if !isClosed(t.released) && t.match(e) {
			trap = t
			t.held++
			break
		}
	}
	c.change()
	c.mu.Unlock()
	if trap == nil {
		return true
	}
	select {
	case <-trap.released:
		return true
	case <-quit:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[at].Lost = true
	trap.held--
	c.change()
	return false
}

// change wakes who waits for an event. The mutex is held.
func (c *chronicle) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// read returns what happened so far, and a channel that is closed when there is more.
func (c *chronicle) read() ([]Event, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events), c.changed
}

// Trap holds events of a kind in the moment in which they happen: a message on its way, a commit
// that is in force and whose author has not been told. It is how a test chooses the
// moment of a kill.
type Trap struct {
	c        *Cluster
	match    func(Event) bool
	held     int // of the chronicle's mutex
	released chan struct{}
	once     sync.Once
}

// Trap holds each event from now on that match accepts, until Release or until who did it or was
// to learn of it is killed. match is called under a mutex and only looks.
func (c *Cluster) Trap(match func(Event) bool) *Trap {
	t := &Trap{c: c, match: match, released: make(chan struct{})}
	c.chronicle.mu.Lock()
	defer c.chronicle.mu.Unlock()
	c.chronicle.traps = append(c.chronicle.traps, t)
	return t
}

// Caught waits until the trap holds n events.
func (t *Trap) Caught(n int) {
	t.c.t.Helper()
	t.c.Until(fmt.Sprintf("the trap holds %d", n), func() bool {
		t.c.chronicle.mu.Lock()
		defer t.c.chronicle.mu.Unlock()
		return t.held >= n
	})
}

// Release lets everything go on, and catches nothing any more.
func (t *Trap) Release() { t.once.Do(func() { close(t.released) }) }
