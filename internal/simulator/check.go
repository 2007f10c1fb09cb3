package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// maxViolations is after how many the rest is not told.
const maxViolations = 20

// checker asserts the invariants at each thing that happens: a change in coordination, a message that arrives, the
// beginning and the end of a task process. It only looks.
type checker struct {
	w     *world
	began time.Time

	mu         sync.Mutex
	violations []string
	story      []string
	trace      hash.Hash64

	epoch    coordination.Epoch
	claimed  time.Time // when the newest epoch was
	jobs     map[job.ID]*execution.Intent
	managers map[string]string // of each instance the committed state
	named    map[string]bool   // visible names that a committed checkpoint or end names

	arrived   map[string]coordination.Epoch // the highest that any message to an instance had
	fresh     map[command]int               // how often a deploy or a trigger came under an epoch as high, less how often a task process had it
	over      map[part]job.Attempt          // up to which attempt such a message had it end
	confirmed map[part]job.Attempt          // and up to which what came of it is known
	dismissed map[string]bool               // instances that were told that they are dead
	promised  map[part]job.Attempt          // Stopped was said of it (R6)
	highest   map[part]job.Attempt          // begun
	acks      map[contribution]string       // what subtasks contributed, as JSON
	completed map[completion]bool           // ever
	begun     []*task                       // all that ever have
	running   []*task                       // and have not ended
	handovers map[*conn]*handover           // under way, by the TaskManager's end
	tempted   map[string]int                // how often a TaskManager could have broken a rule, by its name
}

// part is what an instance has of a region of a job.
type part struct {
	instance string
	job      job.ID
	region   int
}

// command is a Deploy of an attempt, or a Trigger.
type command struct {
	part
	attempt    job.Attempt
	checkpoint job.CheckpointID // 0: a Deploy
}

// contribution is what an attempt of a subtask gives to a checkpoint.
type contribution struct {
	job        job.ID
	attempt    job.Attempt
	checkpoint job.CheckpointID
	subtask    job.Subtask
}

// completion is a checkpoint that was completed.
type completion struct {
	job        job.ID
	checkpoint job.CheckpointID
}

func newChecker(w *world) *checker {
	return &checker{
		w: w, began: time.Now(), trace: fnv.New64a(), jobs: map[job.ID]*execution.Intent{}, managers: map[string]string{}, named: map[string]bool{},
		arrived: map[string]coordination.Epoch{}, fresh: map[command]int{}, over: map[part]job.Attempt{}, confirmed: map[part]job.Attempt{}, dismissed: map[string]bool{},
		promised: map[part]job.Attempt{}, highest: map[part]job.Attempt{}, acks: map[contribution]string{}, completed: map[completion]bool{}, handovers: map[*conn]*handover{}, tempted: map[string]int{},
	}
}

// note adds to the story, and to the trace.
func (c *checker) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(format, args...)
}

func (c *checker) tell(format string, args ...any) {
	line := fmt.Sprintf("%9.3fs  %s", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
	c.story = append(c.story, line)
	fmt.Fprintln(c.trace, time.Since(c.began).Nanoseconds(), line)
}

// violate notes a violation of an invariant or a rule; "": of what goes without saying.
func (c *checker) violate(rule, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found(rule, format, args...)
}

func (c *checker) found(rule, format string, args ...any) {
	text := strings.TrimPrefix(rule+": "+fmt.Sprintf(format, args...), ": ")
	c.tell("VIOLATION %s", text)
	if len(c.violations) < maxViolations {
		c.violations = append(c.violations, text)
	}
}

// isBroken reports whether anything was found.
func (c *checker) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.violations) > 0
}

// changed takes in what is about to be in force in coordination.
func (c *checker) changed(change memory.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := change.Record; r != nil {
		c.tell("%s claims epoch %d", r.ID, r.Epoch)
		if r.Epoch != c.epoch+1 {
			c.found("I1", "%s claims epoch %d after %d", r.ID, r.Epoch, c.epoch)
		}
		c.epoch, c.claimed = r.Epoch, time.Now()
	}
	for _, e := range change.Put {
		if strings.HasPrefix(e.Key, authors) {
			c.author(string(e.Value))
		}
	}
	for _, e := range change.Put {
		instance, isManager := strings.CutPrefix(e.Key, "taskmanagers/")
		switch {
		case isManager:
			c.manager(instance, e.Value)
		case strings.HasPrefix(e.Key, "jobs/") && strings.HasSuffix(e.Key, "/intent"):
			var in execution.Intent
			if err := json.Unmarshal(e.Value, &in); err == nil && in.Phase != "" {
				c.intent(&in)
			}
		}
	}
}

func (c *checker) author(signed string) {
	var epoch coordination.Epoch
	var name string
	if _, err := fmt.Sscan(signed, &epoch, &name); err != nil {
		c.found("", "a commit is signed %q", signed)
	}
	if epoch != c.epoch {
		c.found("I2", "%s commits under epoch %d, and %d is in force", name, epoch, c.epoch)
	}
}

func (c *checker) manager(instance string, value []byte) {
	var record struct{ State, Reason string }
	if err := json.Unmarshal(value, &record); err != nil {
		c.found("", "the record of %s: %v", instance, err)
		return
	}
	if c.managers[instance] != record.State {
		c.tell("%s is %s %s", instance, record.State, record.Reason)
	}
	if c.managers[instance] == "dead" && record.State != "dead" {
		c.found("R4", "%s was declared dead, and is committed as %s", instance, record.State)
	}
	c.managers[instance] = record.State
}

// intent compares a decision about a job with the one before.
func (c *checker) intent(in *execution.Intent) {
	id, before := in.Spec.ID, c.jobs[in.Spec.ID]
	if before == nil {
		before = new(execution.Intent)
	}
	if in.Phase != before.Phase || in.Attempt != before.Attempt || !slices.Equal(in.Regions, before.Regions) || in.Open != before.Open {
		c.tell("job %s is %s attempt %d %v on %v, checkpoint %d of %d open, completed %d %s", id.Short(), in.Phase, in.Attempt, in.Regions, in.Assignment, in.Open, in.Reserved, newest(in), in.Failure)
	}
	switch {
	case before.Phase.Terminal() && in.Phase != before.Phase:
		c.found("I9", "job %s was %s and is %s", id.Short(), before.Phase, in.Phase)
	case in.Phase == execution.Failed && !before.Phase.Terminal():
		c.found("", "job %s has failed: %s", id.Short(), in.Failure)
	case in.Reserved < before.Reserved || in.Open != 0 && in.Open != in.Reserved:
		c.found("R3", "job %s: checkpoint %d is open, %d are reserved, and before that %d were", id.Short(), in.Open, in.Reserved, before.Reserved)
	case newest(in) < newest(before):
		c.found("I8", "job %s: the newest completed checkpoint is %d after %d", id.Short(), newest(in), newest(before))
	}
	for region := range max(1, len(in.Regions)) {
		if before.Attempt > 0 && attemptOf(in, region) < attemptOf(before, region) {
			c.found("I3", "job %s: attempt %d of region %d after %d", id.Short(), attemptOf(in, region), region, attemptOf(before, region))
		}
	}
	if in.Attempt > before.Attempt+1 {
		c.found("I3", "job %s: attempt %d after %d", id.Short(), in.Attempt, before.Attempt)
	}
	if c.w.plan.Calm && in.Attempt > 1 && in.Attempt > before.Attempt {
		c.found("I6", "job %s is restarted, and no TaskManager has failed: %s", id.Short(), before.Failure)
	}
	if newest(in) > newest(before) {
		c.completes(before, in)
	}
	if in.Attempt > before.Attempt && in.Open != 0 {
		c.found("R4", "job %s: checkpoint %d is open as attempt %d begins", id.Short(), in.Open, in.Attempt)
	}
	c.evidence(before, in)
	for _, p := range in.Completed {
		if !in.Phase.Terminal() && !c.w.disk.has(p.Manifest) {
			c.found("I8", "job %s: the manifest %s of a completed checkpoint is not there", id.Short(), p.Manifest)
		}
	}
	if in.Outputs != "" && in.Outputs != before.Outputs {
		c.names(in.Outputs)
	}
	c.jobs[id] = in
}

// evidence: an attempt begins when nothing runs of the one before, but on TaskManagers that were declared dead (R4).
func (c *checker) evidence(before, in *execution.Intent) {
	for _, t := range c.running {
		d := t.deploy
		if d.Spec.ID != in.Spec.ID || attemptOf(in, d.Region) <= attemptOf(before, d.Region) || c.managers[d.Instance] == "dead" {
			continue
		}
		c.found("R4", "job %s: attempt %d of region %d begins, and %s, whose TaskManager was not declared dead, runs attempt %d", in.Spec.ID.Short(), attemptOf(in, d.Region), d.Region, t.name, d.Attempt)
	}
}

func newest(in *execution.Intent) job.CheckpointID {
	if len(in.Completed) == 0 {
		return 0
	}
	return in.Completed[0].Checkpoint
}

func attemptOf(in *execution.Intent, region int) job.Attempt {
	if region < len(in.Regions) {
		return in.Regions[region]
	}
	return in.Attempt
}

// completes compares a completed checkpoint with what its subtasks contributed (I5).
func (c *checker) completes(before, in *execution.Intent) {
	id, p := in.Spec.ID, in.Completed[0]
	c.completed[completion{id, p.Checkpoint}] = true
	m, err := checkpoint.Decode(c.w.disk.read(p.Manifest))
	if err != nil {
		c.found("I8", "job %s: checkpoint %d is completed, and its manifest is: %v", id.Short(), p.Checkpoint, err)
		return
	}
	if p.Checkpoint != before.Open {
		c.found("I5", "job %s: checkpoint %d is completed, and %d was open", id.Short(), p.Checkpoint, before.Open)
	}
	b, err := programOf(in.Spec)
	if err != nil || len(m.Subtasks) != 2*in.Spec.Parallelism {
		c.found("I5", "job %s: checkpoint %d has %d subtasks (%v)", id.Short(), p.Checkpoint, len(m.Subtasks), err)
		return
	}
	for _, ack := range m.Subtasks {
		region := 0
		if b.Apart {
			region = ack.Subtask.Index
		}
		of := contribution{id, attemptOf(before, region), p.Checkpoint, ack.Subtask}
		if c.acks[of] != asJSON(ack) {
			c.found("I5", "job %s: checkpoint %d has of subtask %v %s, and attempt %d, the committed one, gave %q", id.Short(), p.Checkpoint, ack.Subtask, asJSON(ack), of.attempt, c.acks[of])
		}
	}
	if !m.Bounded {
		for _, o := range m.Outputs() {
			c.named[o.Final] = true
		}
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// names takes in the outputs of a job's end.
func (c *checker) names(list string) {
	outputs, err := storage.Over(view{c.w.disk, nil}).Outputs(context.Background(), list)
	if err != nil {
		c.found("I8", "the committed list of outputs %s: %v", list, err)
	}
	for _, o := range outputs {
		c.named[o.Final] = true
	}
}

// heard takes in a message that has arrived. The network's mutex is held.
func (c *checker) heard(from, to *process, link *conn, h rpc.Header, m rpc.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	instance := c.w.net.tap.instances[link]
	c.tell("%s -> %s: %s of epoch %d %s", from.name, to.name, m.Kind(), h.Epoch, gist(m))
	if to.host.isManager() {
		stale := h.Epoch < c.arrived[instance] && !to.frozen
		c.arrived[instance] = max(c.arrived[instance], h.Epoch)
		if stale {
			c.tempted["R2 "+m.Kind()]++
		} else {
			c.commanded(to, link, instance, m)
		}
		return
	}
	if s, is := m.(rpc.Stopped); is {
		of := part{instance, s.Job, s.Region}
		c.promised[of] = max(c.promised[of], s.Attempt)
	}
	c.handed(link.peer, m)
}

// commanded takes in what came to an instance under the highest epoch that it has heard of.
func (c *checker) commanded(to *process, link *conn, instance string, m rpc.Message) {
	switch m := m.(type) {
	case rpc.Deploy:
		of := part{m.Instance, m.Spec.ID, m.Region}
		c.fresh[command{of, m.Attempt, 0}]++
		c.tempt("R6", m.Attempt <= c.promised[of])
		c.confirms(of, m.Attempt-1)
	case rpc.Trigger:
		of := part{m.Instance, m.Job, m.Region}
		c.fresh[command{of, m.Attempt, m.Checkpoint}]++
		c.tempt("R5", m.Attempt < c.highest[of])
	case rpc.Stop:
		of := part{m.Instance, m.Job, m.Region}
		c.over[of] = max(c.over[of], m.Attempt)
	case rpc.Confirm:
		c.confirms(part{instance, m.Job, m.Region}, m.Attempt)
	case rpc.Closed:
		c.closes(m)
	case rpc.Refused:
		c.dismissed[instance] = c.dismissed[instance] || m.Dead
	case rpc.Lead:
		c.led(to, link, instance)
	}
}

// gist is what the story tells of a message.
func gist(m rpc.Message) string {
	switch m := m.(type) {
	case rpc.Deploy:
		return fmt.Sprintf("%s region %d attempt %d slots %v", m.Spec.ID.Short(), m.Region, m.Attempt, m.Slots)
	case rpc.Stop:
		return fmt.Sprintf("%s region %d attempt %d", m.Job.Short(), m.Region, m.Attempt)
	case rpc.Stopped:
		return fmt.Sprintf("%s region %d attempt %d", m.Job.Short(), m.Region, m.Attempt)
	case rpc.Confirm:
		return fmt.Sprintf("%s region %d attempt %d", m.Job.Short(), m.Region, m.Attempt)
	case rpc.Trigger:
		return fmt.Sprintf("%s region %d attempt %d checkpoint %d", m.Job.Short(), m.Region, m.Attempt, m.Checkpoint)
	case rpc.Closed:
		return fmt.Sprintf("%s region %d attempt %d checkpoint %d published %t", m.Job.Short(), m.Region, m.Attempt, m.Checkpoint, m.Published)
	case rpc.Acknowledge:
		return fmt.Sprintf("%s attempt %d of %d subtasks", m.Job.Short(), m.Attempt, len(m.Acks))
	case rpc.Status:
		var b strings.Builder
		for _, s := range m.Subtasks {
			fmt.Fprintf(&b, " %v %s", s.Subtask, s.State)
		}
		return fmt.Sprintf("%s region %d attempt %d%s", m.Job.Short(), m.Region, m.Attempt, &b)
	case rpc.Report:
		var b strings.Builder
		for _, a := range m.Attempts {
			fmt.Fprintf(&b, " %s region %d attempt %d", a.Job.Short(), a.Region, a.Attempt)
		}
		return b.String()
	case rpc.Refused:
		return m.Reason
	}
	return ""
}

// begins: a task process has been told what to run.
func (c *checker) begins(t *task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := t.deploy
	of := t.part()
	c.tell("%s runs %s region %d attempt %d subtasks %v", t.name, d.Spec.ID.Short(), d.Region, d.Attempt, d.Subtasks)
	c.running, c.begun, t.since, t.given = append(c.running, t), append(c.begun, t), time.Now(), map[job.Subtask]given{}
	in := c.jobs[d.Spec.ID]
	if in == nil || d.Attempt > attemptOf(in, d.Region) {
		c.found("I3", "%s runs attempt %d of region %d of job %s, which nobody has committed", t.name, d.Attempt, d.Region, d.Spec.ID.Short())
	}
	if d.Attempt <= c.highest[of] {
		c.found("I3", "%s runs attempt %d of region %d of job %s, and has begun attempt %d before", t.name, d.Attempt, d.Region, d.Spec.ID.Short(), c.highest[of])
	}
	c.highest[of] = max(c.highest[of], d.Attempt)
	if d.Attempt <= c.promised[of] {
		c.found("R6", "%s runs attempt %d of region %d of job %s, and its TaskManager has promised that none up to %d will run", t.name, d.Attempt, d.Region, d.Spec.ID.Short(), c.promised[of])
	}
	if !c.isFresh(command{of, d.Attempt, 0}) {
		c.found("I4", "%s runs attempt %d of region %d of job %s, deployed under an epoch that was over", t.name, d.Attempt, d.Region, d.Spec.ID.Short())
	}
}

// ends: a task process has ended.
func (c *checker) ends(t *task, how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := t.deploy
	c.tell("%s, which ran %s region %d attempt %d, %s", t.name, d.Spec.ID.Short(), d.Region, d.Attempt, how)
	c.running = slices.DeleteFunc(c.running, func(other *task) bool { return other == t })
	in := c.jobs[d.Spec.ID]
	if !c.w.plan.Calm || c.w.closing || in == nil {
		return
	}
	if phase := in.Phase; phase == execution.Created || phase == execution.Running || phase == execution.Restarting {
		c.found("I6", "%s, which ran job %s, %s, and neither it nor its TaskManager had failed", t.name, d.Spec.ID.Short(), how)
	}
}

// triggered: a task process was told to take part in a checkpoint.
func (c *checker) triggered(t *task, m rpc.Trigger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.jobs[m.Job]
	if in == nil || m.Checkpoint > in.Reserved {
		c.found("R3", "%s is told to take checkpoint %d of job %s, which nobody has reserved", t.name, m.Checkpoint, m.Job.Short())
	}
	if m.Attempt != t.deploy.Attempt {
		c.found("R5", "%s runs attempt %d of job %s, and is told to take checkpoint %d of attempt %d", t.name, t.deploy.Attempt, m.Job.Short(), m.Checkpoint, m.Attempt)
	}
	if !c.isFresh(command{part{m.Instance, m.Job, m.Region}, m.Attempt, m.Checkpoint}) {
		c.found("I4", "%s is told to take checkpoint %d of job %s under an epoch that was over", t.name, m.Checkpoint, m.Job.Short())
	}
}

func (c *checker) tempt(rule string, could bool) {
	if could {
		c.tempted[rule]++
	}
}

// isFresh reports whether a command that is executed came under an epoch that was not over, and counts it: it is executed
// once for each time that it did.
func (c *checker) isFresh(of command) bool {
	c.fresh[of]--
	return c.fresh[of] >= 0
}

// toldToEnd: a task process is to end (I4: by a command whose epoch was not over, R5: about its attempt).
func (c *checker) toldToEnd(t *task) {
	leaving := t.of.isLeaving()
	c.mu.Lock()
	defer c.mu.Unlock()
	d := t.deploy
	if d.Attempt > c.over[t.part()] && !c.dismissed[d.Instance] && !leaving && !c.w.closing {
		c.found("I4", "%s, which runs attempt %d of region %d of job %s, is told to end, and no leader has said so under an epoch that was not over", t.name, d.Attempt, d.Region, d.Spec.ID.Short())
	}
}

// toldClosed: a task process has heard that a checkpoint is closed, and perhaps that its output is visible.
func (c *checker) toldClosed(t *task, m rpc.Closed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.jobs[m.Job]
	switch {
	case m.Attempt != t.deploy.Attempt:
		c.found("R5", "%s runs attempt %d of job %s, and is told that checkpoint %d of attempt %d is closed", t.name, t.deploy.Attempt, m.Job.Short(), m.Checkpoint, m.Attempt)
	case in == nil || in.Open != 0 && in.Open <= m.Checkpoint || in.Reserved < m.Checkpoint:
		c.found("R3", "%s is told that checkpoint %d of job %s is closed, and nobody has committed that", t.name, m.Checkpoint, m.Job.Short())
	case m.Published && !c.completed[completion{m.Job, m.Checkpoint}]:
		c.found("R3", "%s is told that what checkpoint %d of job %s names is visible, and that was not completed", t.name, m.Checkpoint, m.Job.Short())
	}
}

// acknowledged: a subtask has contributed to a checkpoint.
func (c *checker) acknowledged(t *task, ack job.Acknowledgement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks[contribution{t.deploy.Spec.ID, t.deploy.Attempt, ack.Checkpoint, ack.Subtask}] = asJSON(ack)
	if t.alive() {
		t.given[ack.Subtask] = given{ack.Checkpoint, time.Now()}
	}
}

// outputs looks at what is visible of all jobs (I5). Whole says that nothing may be missing.
func (c *checker) outputs(whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range c.w.plan.Jobs {
		pieces, names, err := c.w.visible(j.ID)
		if err != nil {
			c.found("", "read the output of job %s: %v", j.ID.Short(), err)
			continue
		}
		for _, name := range names {
			if !c.named[name] {
				c.found("I5", "job %s: %s is visible, and no completed checkpoint and no end names it", j.ID.Short(), name)
				c.named[name] = true // once is enough
			}
		}
		for subtask, list := range pieces {
			c.pieces(j, subtask, list, whole)
		}
		if in := c.jobs[j.ID]; whole && in != nil && in.Phase == execution.Finished && len(pieces) != j.Parallelism {
			c.found("I5", "job %s has finished, and the output of %d of %d subtasks is visible", j.ID.Short(), len(pieces), j.Parallelism)
		}
	}
}

func (c *checker) pieces(j Job, subtask int, list [][2]int, whole bool) {
	next := 0
	for _, p := range list {
		if p[0] < next || whole && p[0] > next {
			c.found("I5", "job %s: of subtask %d records %d to %d are visible after those up to %d", j.ID.Short(), subtask, p[0], p[1], next)
		}
		next = p[1]
	}
	if in := c.jobs[j.ID]; whole && in != nil && in.Phase == execution.Finished && next != j.Records {
		c.found("I5", "job %s has finished: of subtask %d %d of %d records are visible", j.ID.Short(), subtask, next, j.Records)
	}
}

// snapshot is what is committed of a job.
func (c *checker) snapshot(id job.ID) execution.Intent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.jobs[id]; in != nil {
		return *in
	}
	return execution.Intent{}
}

// kept looks whether every file of each retained checkpoint is there (I8).
func (c *checker) kept() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range c.w.plan.Jobs {
		in := c.jobs[j.ID]
		if in == nil || in.Phase.Terminal() {
			continue
		}
		for _, p := range in.Completed {
			m, err := checkpoint.Decode(bytes.Clone(c.w.disk.read(p.Manifest)))
			if err != nil {
				c.found("I8", "job %s: checkpoint %d: %v", j.ID.Short(), p.Checkpoint, err)
				continue
			}
			for _, ack := range m.Subtasks {
				for _, h := range ack.States {
					if h.File != "" && !c.w.disk.has(h.File) {
						c.found("I8", "job %s: checkpoint %d: %s is not there", j.ID.Short(), p.Checkpoint, h.File)
					}
				}
			}
		}
	}
}
