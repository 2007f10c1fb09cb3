package taskmanager

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// maxPlans bounds the job binaries that are planned at once.
const maxPlans = 16

// farewellTime is how long links have to send what is posted before they are cut.
const farewellTime = 500 * time.Millisecond

// maxKilled bounds the killed task processes that are told of.
const maxKilled = 16

// table is one instance of the TaskManager: the attempts it knows, the highest epoch it has
// seen, and its links to JobManagers. Only the goroutine in run touches it; others send events.
//
// It does no I/O and never waits for anybody: what it sends is posted to a bounded queue per
// link, and a link whose queue is full is cut, since a new registration tells everything anew.
//
// How R2 holds for a new instance, which has seen nothing: it obeys a link only after Lead.
// A leader sends Lead when it has committed this instance's registration under its epoch, so
// that epoch was in force after this instance began; older leaders cannot commit it. An instance
// that follows a declared death begins with what its predecessor had seen.
type table struct {
	*node
	log      *slog.Logger
	instance string
	replaces []rpc.Predecessor // those that used the work directory before

	seen   coordination.Epoch // the highest ever; never falls (I4)
	leader *link              // that sent Lead under seen; nil while headless
	led    string             // the JobManager that was first to send Lead under seen; "": none was
	links  map[*link]bool
	parts  map[partKey]*entry
	plans  map[planKey]*link // under way, and who asked last

	lease      lease
	inspecting int // questions whose answers have not come

	running  int      // attempts whose process goroutine has not ended
	ending   bool     // takes no new work
	leaving  bool     // has said goodbye
	declared bool     // dead, by a committed write
	killed   []string // task processes that had not ended in time, in words

	events   chan event
	wg       sync.WaitGroup
	alive    context.Context // of plans and task processes: its end kills them
	kill     context.CancelFunc
	planning context.Context // ends when the instance stops taking work
	noPlans  context.CancelFunc
}

// partKey names what this instance has of a job: its part of a region, as in rpc.Deploy.
type partKey struct {
	job    job.ID
	region int
}

// planKey tells the plan of a job from those of its changes.
type planKey struct{ job, request job.ID }

// entry is what is known of a part: at most one attempt, and what was promised about others.
// Entries stay as long as the instance, as a promise has no end: about 100 bytes each.
type entry struct {
	promised job.Attempt // no attempt up to this one will ever be started here (R6)
	current  *attempt    // runs, or has ended and is not confirmed; else nil
	next     *rpc.Deploy // waits for the end of current, which is lower
	stopped  job.Attempt // Stopped is owed up to this attempt once current has ended; else 0
}

// event is what another goroutine tells the table.
type event interface{ apply(t *table) }

func newTable(n *node, seen coordination.Epoch) *table {
	instance := "tm-" + strings.ToLower(rand.Text()[:16])
	t := &table{
		node: n, log: n.log.With("instance", instance), instance: instance, seen: seen,
		links: map[*link]bool{}, parts: map[partKey]*entry{}, plans: map[planKey]*link{},
		events: make(chan event, 64), lease: newLease(),
	}
	t.alive, t.kill = context.WithCancel(context.Background())
	t.planning, t.noPlans = context.WithCancel(t.alive)
	return t
}

// run is the life of the instance: until ctx ends, or until a leader says that the instance
// was declared dead, which it reports. No task process is left when it returns.
func (t *table) run(ctx context.Context) (declaredDead bool) {
	t.log.Info("TaskManager offers slots", "slots", t.cfg.Slots, "data", t.data)
	dialing, stopDialing := context.WithCancel(context.Background())
	linked, cut := context.WithCancel(context.Background())
	pool := &pool{node: t.node, as: t.registration(t.instance, t.replaces), events: t.events, linked: linked}
	poolDone := make(chan struct{})
	go func() { defer close(poolDone); pool.run(dialing) }()

	for !t.ending {
		select {
		case e := <-t.events:
			e.apply(t)
		case <-t.lease.ends.C:
			t.lapse()
		case <-ctx.Done():
			t.ending = true
		}
	}
	t.lease.ends.Stop()
	t.endAll()
	stopDialing()
	t.leave()
	defer time.AfterFunc(farewellTime, cut).Stop()
	t.drainUntil(poolDone)
	cut()
	t.kill()
	t.wg.Wait()
	return t.declared
}

// endAll ends every task process and plan, and goes on answering JobManagers meanwhile. What has not ended after
// Timeouts.Leave is killed. An instance that was declared dead kills: the successors of its tasks may run already.
func (t *table) endAll() {
	t.noPlans()
	if t.declared {
		t.kill()
	} else {
		defer time.AfterFunc(t.cfg.Timeouts.Leave, t.kill).Stop()
	}
	for _, e := range t.parts {
		e.next = nil
		if e.current != nil {
			e.current.end()
		}
	}
	for t.running > 0 || len(t.plans) > 0 {
		(<-t.events).apply(t)
	}
}

// leave says goodbye, which is evidence that nothing runs here any more (R4), and lets the
// links end when all that was posted is sent. Nobody is told goodbye by an instance that was
// declared dead: it is no news.
func (t *table) leave() {
	t.leaving = true
	for l := range t.links {
		if !t.declared {
			t.post(l, rpc.Farewell{Killed: t.killed})
		}
		l.finish()
	}
}

func (t *table) drainUntil(done <-chan struct{}) {
	for {
		select {
		case e := <-t.events:
			e.apply(t)
		case <-done:
			return
		}
	}
}

// post sends m over l, unless l has ended.
func (t *table) post(l *link, m rpc.Message) {
	if l != nil {
		l.post(rpc.Header{Cluster: l.cluster, Epoch: t.seen}, m)
	}
}

// tell sends m to the newest leader. Without one it does nothing: what matters is in the table,
// and in the Report to the next leader.
func (t *table) tell(m rpc.Message) { t.post(t.leader, m) }

// joined: a JobManager has welcomed this instance.
type joined struct{ l *link }

func (e joined) apply(t *table) {
	t.links[e.l] = true
	if e.l.epoch > t.seen {
		t.see(e.l.epoch)
	}
	if t.leaving {
		e.l.finish()
	}
}

// left: a connection has ended. Nothing follows from it for any task.
type left struct{ l *link }

func (e left) apply(t *table) {
	delete(t.links, e.l)
	for id, l := range t.plans {
		if l == e.l {
			t.plans[id] = nil
		}
	}
	if t.leader == e.l {
		t.leader = nil
		t.log.Info("the leader's connection ended; tasks run on", "jobmanager", e.l.addr, "epoch", t.seen)
		t.followOther()
	}
	e.l.finish()
}

// followOther goes on over another connection of the leader, if it has said over that that it leads. A JobManager that vanished from
// coordination and came back has two for a while: it closes the older one, and what it said over that may come last.
func (t *table) followOther() {
	for l := range t.links {
		if l.led == t.seen && l.id == t.led {
			t.follow(l, t.seen)
			return
		}
	}
}

// received: a JobManager has sent a message of this cluster.
type received struct {
	l *link
	h rpc.Header
	m rpc.Message
}

func (e received) apply(t *table) {
	if e.h.Epoch > t.seen {
		t.see(e.h.Epoch)
	}
	switch m := e.m.(type) {
	case rpc.Refused:
		t.refused(e.l.addr, e.h, m)
		return
	}
	if e.h.Epoch < t.seen || e.h.Epoch == 0 {
		t.refuseStale(e)
		return
	}
	switch m := e.m.(type) {
	case rpc.Heartbeat:
		t.beat(e.l, m)
	case rpc.Lead:
		t.follow(e.l, e.h.Epoch)
		if t.leader == e.l {
			t.lend(m.Lease)
		}
	default:
		t.command(e.l, e.m)
	}
}

// see raises the highest epoch: whoever led before leads no more.
func (t *table) see(epoch coordination.Epoch) {
	t.seen = epoch
	t.leader, t.led = nil, ""
}

func (t *table) refuseStale(e received) {
	if e.l.warned == t.seen {
		return
	}
	e.l.warned = t.seen // one line per link and epoch: a zombie repeats itself
	t.log.Warn("refused a message of a lower epoch", "jobmanager", e.l.addr, "message", e.m.Kind(), "epoch", e.h.Epoch, "seen", t.seen)
}

// turnedAway: a JobManager has answered the registration with Refused.
type turnedAway struct {
	addr string
	h    rpc.Header
	m    rpc.Refused
}

func (e turnedAway) apply(t *table) { t.refused(e.addr, e.h, e.m) }

// refused ends the instance if it was declared dead under an epoch that is not outdated. Other
// refusals are for a person to read.
func (t *table) refused(addr string, h rpc.Header, m rpc.Refused) {
	if !m.Dead || h.Epoch < t.seen || h.Epoch == 0 {
		t.log.Warn("a JobManager refuses this TaskManager", "jobmanager", addr, "epoch", h.Epoch, "reason", m.Reason)
		return
	}
	t.seen = h.Epoch
	if !t.ending {
		t.log.Error("this TaskManager was declared dead: it ends its tasks and registers anew", "reason", m.Reason, "epoch", h.Epoch)
		t.ending, t.declared = true, true
	}
}

// follow makes l the leader's link and tells it all that runs or is held (R12). Under one epoch only one JobManager
// is followed, for ever: coordination that was restored to an earlier state would have the epoch claimed twice (I1).
func (t *table) follow(l *link, epoch coordination.Epoch) {
	if t.led != "" && t.led != l.id {
		t.log.Error("refused a leader: another one led under the same epoch. Coordination was restored to an earlier state; "+
			"tasks run on. Stop all JobManagers, and import the newest metadata, or begin anew with another storage.dir",
			"jobmanager", l.addr, "id", l.id, "epoch", epoch, "before", t.led)
		return
	}
	t.led, l.led = l.id, epoch
	if t.leader != l {
		t.log.Info("following a leader", "jobmanager", l.addr, "id", l.id, "epoch", epoch)
	}
	t.leader = l
	var r rpc.Report
	for _, e := range t.parts {
		if e.current != nil {
			r.Attempts = append(r.Attempts, e.current.report())
		}
	}
	shortenFailures(r.Attempts)
	t.tell(r)
	for _, e := range t.parts {
		if e.current != nil {
			for _, acks := range e.current.held() {
				t.tell(rpc.Acknowledge{Job: e.current.job, Attempt: e.current.number, Acks: acks})
			}
		}
	}
	failpoint.TaskManagerReported.Reached()
}

// command obeys the newest leader.
func (t *table) command(l *link, m rpc.Message) {
	if t.leader != l {
		t.log.Warn("refused a command of a JobManager that has not said that it leads", "jobmanager", l.addr, "id", l.id, "message", m.Kind(), "epoch", t.seen)
		return
	}
	switch m := m.(type) {
	case rpc.Inspect:
		if t.meant(m.Instance, m.Kind()) {
			t.inspect(l, m)
		}
	case rpc.Plan:
		t.plan(l, m)
	case rpc.Deploy:
		if t.meant(m.Instance, m.Kind()) {
			t.deploy(m)
		}
	case rpc.Stop:
		if t.meant(m.Instance, m.Kind()) {
			t.stop(partKey{m.Job, m.Region}, m.Attempt)
		}
	case rpc.Retire:
		if t.meant(m.Instance, m.Kind()) {
			t.log.Info("this TaskManager was drained, and ends")
			t.ending = true
		}
	case rpc.Confirm:
		t.confirm(partKey{m.Job, m.Region}, m.Attempt)
	case rpc.Trigger:
		if a := t.attemptOf(m.Instance, partKey{m.Job, m.Region}, m.Attempt, m.Kind()); a != nil {
			failpoint.TaskManagerTriggers.Reached()
			a.say(m)
		}
	case rpc.Drain:
		if a := t.attemptOf(m.Instance, partKey{m.Job, m.Region}, m.Attempt, m.Kind()); a != nil {
			a.say(m)
		}
	case rpc.Closed:
		if a := t.attemptOf(m.Instance, partKey{m.Job, m.Region}, m.Attempt, m.Kind()); a != nil {
			a.closed(m)
		}
	}
}

// attemptOf returns the attempt that a message is about, if it is the one that is here (R5).
func (t *table) attemptOf(instance string, of partKey, n job.Attempt, kind string) *attempt {
	e := t.parts[of]
	if !t.meant(instance, kind) || e == nil || e.current == nil || e.current.number != n {
		return nil
	}
	return e.current
}

func (t *table) meant(instance, kind string) bool {
	if instance != t.instance {
		t.log.Warn("refused a command for another instance: this one took its address", "message", kind, "meant", instance, "epoch", t.seen)
	}
	return instance == t.instance
}

func (t *table) entry(of partKey) *entry {
	e := t.parts[of]
	if e == nil {
		e = &entry{}
		t.parts[of] = e
	}
	return e
}

// deploy starts an attempt, unless it is here already, or it or a higher one was.
func (t *table) deploy(d rpc.Deploy) {
	if t.ending {
		return // Farewell follows, and is answer enough
	}
	if err := checkDeploy(d); err != nil {
		t.log.Error("refused a malformed deploy", "job", d.Spec.ID, "attempt", d.Attempt, "epoch", t.seen, "error", err)
		return
	}
	of := partKey{d.Spec.ID, d.Region}
	e := t.entry(of)
	switch {
	case e.current != nil && e.current.number == d.Attempt:
		t.tell(rpc.Status{AttemptReport: e.current.report()})
	case e.current != nil && e.current.number > d.Attempt:
		t.tell(rpc.Stopped{Job: d.Spec.ID, Region: d.Region, Attempt: e.current.number - 1})
	case e.promised >= d.Attempt:
		t.stop(of, e.promised) // a lower one may still be ending
	case e.next != nil && e.next.Attempt == d.Attempt:
	case e.current != nil && e.current.running():
		e.next = &d
		e.promised = d.Attempt - 1
		e.current.end()
	default:
		t.start(e, d)
	}
}

// start begins an attempt. A lower one that has ended is forgotten with what was held of it:
// the higher could only be committed on evidence of its end (R4).
func (t *table) start(e *entry, d rpc.Deploy) {
	failpoint.TaskManagerStarts.Reached()
	e.promised = d.Attempt - 1
	e.current = newAttempt(d)
	p := newProcess(t.alive, d, t.log.With("epoch", t.seen, "job", d.Spec.ID, "region", d.Region, "attempt", d.Attempt))
	p.lease = t.handOn()
	e.current.process = p
	t.running++
	t.wg.Go(func() { t.events <- p.run(t.node, t.events) })
	t.tell(rpc.Status{AttemptReport: e.current.report()})
}

// stop ends every attempt up to n, promises that none will come, and says so when it is true.
func (t *table) stop(of partKey, n job.Attempt) {
	e := t.entry(of)
	e.promised = max(e.promised, n)
	if e.next != nil && e.next.Attempt <= n {
		e.next = nil
	}
	if e.current != nil && e.current.running() && e.current.number <= n {
		e.stopped = max(e.stopped, n)
		failpoint.TaskManagerStops.Reached()
		e.current.end()
		return
	}
	t.tell(rpc.Stopped{Job: of.job, Region: of.region, Attempt: n})
}

// confirm forgets an attempt whose outcome is committed. A process of it that lingers is ended.
func (t *table) confirm(of partKey, n job.Attempt) {
	e := t.entry(of)
	e.promised = max(e.promised, n)
	if e.next != nil && e.next.Attempt <= n {
		e.next = nil // it waited for the end of the attempt before, and is not to begin any more
	}
	switch {
	case e.current == nil || e.current.number > n:
	case e.current.running():
		e.current.confirmed = true
		e.current.end()
	default:
		e.current = nil
	}
}

// find returns the attempt that p runs, and nil for a message that outlived it.
func (t *table) find(p *process) (*entry, *attempt) {
	e := t.parts[partKey{p.deploy.Spec.ID, p.deploy.Region}]
	if e == nil || e.current == nil || e.current.process != p {
		return nil, nil
	}
	return e, e.current
}

// started: the task process of an attempt has a pid.
type started struct {
	p   *process
	pid int
}

func (v started) apply(t *table) {
	if _, a := t.find(v.p); a != nil {
		a.pid = v.pid
		t.tell(rpc.Status{AttemptReport: a.report()})
	}
}

// told: a task process has sent a message.
type told struct {
	p *process
	m rpc.Message
}

func (v told) apply(t *table) {
	_, a := t.find(v.p)
	if a == nil {
		return
	}
	switch m := v.m.(type) {
	case rpc.Status:
		changed := a.merge(m.Subtasks)
		if t.ending { // the others end because the TaskManager does: Farewell says it
			changed = finished(changed)
		}
		if len(changed) > 0 {
			t.tell(rpc.Status{AttemptReport: a.reportOf(changed)})
		}
	case rpc.Acknowledge:
		m.Acks = slices.DeleteFunc(m.Acks, func(ack job.Acknowledgement) bool { return a.find(ack.Subtask) < 0 })
		a.acknowledge(m.Acks)
		failpoint.TaskManagerHolds.Reached()
		t.tell(rpc.Acknowledge{Job: a.job, Attempt: a.number, Acks: m.Acks})
	case rpc.Inspected:
		t.answer(t.leader, m)
	case rpc.Progress:
		m.Job, m.Attempt = a.job, a.number
		if t.leader != nil && t.leader.roomy() {
			t.tell(m)
		}
	}
}

// exited: the task process of an attempt has ended and nothing of it is left, or it never
// began.
type exited struct {
	p       *process
	failure string // of subtasks that had not ended; "": it was asked to end
	killed  bool   // by a signal that was not this TaskManager's
	late    string // the same, said of an attempt whose subtasks had all finished
	stuck   string // it was asked to end, had not, and was killed, in words; ""
}

func (v exited) apply(t *table) {
	t.running--
	if v.stuck != "" && len(t.killed) < maxKilled {
		t.killed = append(t.killed, v.stuck)
	}
	e, a := t.find(v.p)
	if a == nil {
		return
	}
	a.process, a.pid = nil, 0
	changed := a.close(v)
	if t.ending {
		return
	}
	if len(changed) > 0 || a.failure != "" {
		t.tell(rpc.Status{AttemptReport: a.reportOf(changed)})
	}
	if e.stopped > 0 {
		t.tell(rpc.Stopped{Job: a.job, Region: a.region, Attempt: e.stopped})
		e.stopped = 0
	}
	if a.confirmed {
		e.current = nil
	}
	if d := e.next; d != nil {
		e.next = nil
		t.start(e, *d)
	}
}

// plan runs the job binary in plan mode, unless that is under way: then the answer goes to
// whoever asked last.
func (t *table) plan(l *link, m rpc.Plan) {
	key := planKey{m.Spec.ID, m.Request}
	_, underWay := t.plans[key]
	if !underWay && (t.ending || len(t.plans) >= maxPlans) {
		t.post(l, rpc.Planned{Job: key.job, Request: key.request, Error: "this TaskManager takes no more jobs to plan at the moment", Retry: true})
		return
	}
	t.plans[key] = l
	if underWay {
		return
	}
	t.wg.Go(func() {
		answer := t.node.plan(t.planning, m.Spec)
		answer.Request = key.request
		t.events <- planned{answer}
	})
}

// planned: a plan has been made, or cannot be.
type planned struct{ m rpc.Planned }

func (v planned) apply(t *table) {
	key := planKey{v.m.Job, v.m.Request}
	t.post(t.plans[key], v.m)
	delete(t.plans, key)
}
