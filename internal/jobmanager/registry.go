package jobmanager

import (
	"context"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// registry knows the TaskManagers of one term: who is there, who lives, which slots are whose.
// Only its goroutine, in run, touches what is in it; others post a happening. It never waits
// for a TaskManager, a job or coordination: what takes time is done by a goroutine that
// posts its result.
type registry struct {
	*leader
	inbox chan happening
	done  chan struct{}  // closed when run has ended: nobody is told anything any more
	asked chan time.Time // holds when those that were connected at the beginning had been told who leads
	wg    sync.WaitGroup

	managers map[string]*taskManager
	claims   map[job.ID][]string // slots that jobs hold: the instance of each
	reserved map[job.ID]int      // how many of them are reserved for a move
	wants    []*want             // jobs that wait for slots, in order of arrival
	plans    []*planning         // jobs that wait for their plan

	sequence   uint64        // of heartbeats
	ticked     time.Duration // when, see monotonic
	sure       sure
	validating bool // after an own pause, until the epoch is known to be in force (R11)
	forgetting bool // records of dead TaskManagers are being deleted
}

// happening is what another goroutine tells the registry.
type happening interface{ apply(*registry) }

// taskManager is one instance of a TaskManager.
type taskManager struct {
	instance string
	record   taskManagerRecord
	version  coordination.Version // of the committed record; NoVersion: not committed yet

	session *session // nil: not connected
	led     bool     // Lead was sent over session
	ready   bool     // and answered with Report: it can be used
	met     bool     // it was connected in this term, so that its absence is news
	seen    time.Duration
	since   time.Time     // when it was last seen to leave, or this leader began
	busy    bool          // a commit of its record is under way
	probing bool          // a dial to its data port is under way
	doom    string        // why it is to be declared dead, as soon as it is not busy
	fate    fate          // what is known of its task processes then
	over    time.Duration // of a dead one whose lease is waited for: when that is over, by Config.Clock; 0: nothing is waited for
	overAt  time.Time     // the same, for people
	retired bool          // it was told to end, over this session
	asked   chan<- error  // waits for the commit that it is drained
}

func newRegistry(l *leader, records []storedTaskManager) *registry {
	r := &registry{
		leader: l, inbox: make(chan happening, 1024), done: make(chan struct{}), asked: make(chan time.Time, 1),
		managers: make(map[string]*taskManager), claims: make(map[job.ID][]string), reserved: make(map[job.ID]int),
	}
	for _, s := range records {
		m := &taskManager{instance: s.instance, record: s.record, version: s.version, seen: monotonic(), since: l.since.UTC()}
		r.managers[s.instance] = m
		r.awaitLease(m) // anew: who declared it dead may have granted leases until it was replaced
	}
	return r
}

// run is the registry's goroutine. It begins with the TaskManagers that are connected.
func (r *registry) run(ctx context.Context) {
	defer r.wg.Wait()
	defer close(r.done)
	for _, s := range r.connections.attach(r) {
		entered{s}.apply(r)
	}
	r.asked <- time.Now()
	defer r.connections.detach()
	ticker := newBeats(r.cfg.heartbeatInterval())
	defer ticker.Stop()
	r.ticked = monotonic()
	for {
		select {
		case h := <-r.inbox:
			h.apply(r)
		case <-ticker.C:
			ticker.keep(r.cfg.heartbeatInterval())
			r.tick(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// askedAt waits until the TaskManagers were asked, and says when that was. It is for one caller.
func (r *registry) askedAt(ctx context.Context) time.Time {
	select {
	case at := <-r.asked:
		return at
	case <-ctx.Done():
		return time.Time{}
	}
}

// post tells the registry, and waits while its inbox is full.
func (r *registry) post(h happening) {
	select {
	case r.inbox <- h:
	case <-r.done:
	}
}

// entered: a TaskManager has connected.
type entered struct{ s *session }

func (h entered) apply(r *registry) {
	reg := h.s.register
	m := r.managers[reg.Instance]
	if m == nil {
		m = &taskManager{instance: reg.Instance, version: coordination.NoVersion,
			record: taskManagerRecord{Host: reg.Host, Data: reg.Data, Slots: reg.Slots, Lease: reg.Lease, State: live}}
		r.managers[reg.Instance] = m
	}
	if m.session != nil {
		r.disconnect(m)
	}
	m.session, m.met, m.seen = h.s, true, monotonic()
	r.replaces(m)
	switch {
	case m.record.State == dead:
		r.refuse(m)
	case m.version == coordination.NoVersion:
		r.commitRecord(m, m.record)
	default:
		r.lead(m)
	}
}

// replaces declares dead those that a new instance is proof against: they used its work directory, whose lock it
// holds, on the same host (a copy of a directory is no proof), or had its data address, as a port has one owner.
func (r *registry) replaces(m *taskManager) {
	for _, p := range m.session.register.Replaces {
		if other := r.managers[p.Instance]; other != nil && other != m && other.record.Host == m.record.Host {
			r.declare(other, "its work directory belongs to a new instance, "+m.instance, predecessor(p))
		}
	}
	for _, other := range r.managers {
		if other != m && other.record.Data == m.record.Data && other.session == nil && other.record.State == live {
			r.declare(other, "its data address belongs to a new instance, "+m.instance, unheard)
		}
	}
}

// refuse tells an instance that was declared dead so; it ends its tasks and comes back as a
// new one.
func (r *registry) refuse(m *taskManager) {
	m.session.post(r.header, rpc.Refused{Dead: true, Reason: "TaskManager " + m.instance + " was declared dead: " + m.record.Reason})
}

// lead makes a TaskManager, whose registration is committed, listen to this leader.
func (r *registry) lead(m *taskManager) {
	if m.session == nil || m.busy || m.doom != "" {
		return
	}
	m.session.heard.Store(int64(monotonic()))
	m.led = true
	m.session.post(r.header, rpc.Lead{Lease: m.record.Lease})
}

// left: a TaskManager's connection has ended. Whether it died, the data port tells.
type left struct{ s *session }

func (h left) apply(r *registry) {
	m := r.managers[h.s.register.Instance]
	if m == nil || m.session != h.s {
		return
	}
	r.disconnect(m)
	if m.record.State == live && m.doom == "" {
		r.log.Warn("lost the connection to a TaskManager", "taskmanager", m.instance, "host", m.record.Host)
		r.probe(m)
	}
}

func (r *registry) disconnect(m *taskManager) {
	m.session.close()
	m.seen, m.since = monotonic(), time.Now().UTC()
	m.session, m.led, m.ready, m.retired = nil, false, false, false
	for id := range r.holders(m.instance) {
		r.tell(id, execution.Gone{Instance: m.instance})
	}
	r.replan(m.instance)
}

// holders are the jobs that hold slots of an instance.
func (r *registry) holders(instance string) map[job.ID]bool {
	jobs := make(map[job.ID]bool)
	for id, claim := range r.claims {
		for _, i := range claim {
			if i == instance {
				jobs[id] = true
			}
		}
	}
	return jobs
}

// tell gives an event to the owner of a job, if there is one.
func (r *registry) tell(id job.ID, e execution.Event) {
	if o := r.jobs.find(id); o != nil {
		o.post(e)
	}
}

// send posts a message to an instance that follows this leader. To others nothing is sent: their
// jobs' owners hear that they are gone, and send again when they are back.
func (r *registry) send(instance string, m rpc.Message) {
	if t := r.managers[instance]; t != nil && t.ready && t.record.State == live {
		t.session.post(r.header, m)
	}
}
