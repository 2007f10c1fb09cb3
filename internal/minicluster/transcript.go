package minicluster

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Transcript tells what happened as a story that is the same each time: in steps, as the test
// called Step, and within a step in order of cause and effect; what happened side by side is in
// order of names (order.go). Names are by role (names.go). Several messages that say that one
// attempt got on are one line. Only what has happened at the end of a step for sure, because the
// test has waited for it, makes a transcript that can be compared.
func (c *Cluster) Transcript() string {
	events, _ := c.chronicle.read()
	t := &teller{names: namesOf(events), subtasks: map[string]*progress{}, told: map[string]bool{}, decided: map[job.ID]execution.Intent{}}
	var b strings.Builder
	var lines []line
	flush := func() {
		for _, l := range order(lines) {
			fmt.Fprintf(&b, "  %-23s %s\n", l.who(), l.text)
		}
		lines = nil
	}
	for _, e := range events {
		if e.Kind == Step {
			flush()
			fmt.Fprintf(&b, "\n%s\n", t.names.in(e.Text))
			continue
		}
		if l, telling := t.tell(e); telling {
			lines = append(lines, l)
		}
	}
	flush()
	return strings.TrimPrefix(b.String(), "\n")
}

// line is a line of a transcript.
type line struct {
	from, to string          // to is "" for what is done in coordination
	kind     string          // of the message, or of the event
	subject  string          // what it is about: a job, an instance of a TaskManager
	phase    execution.Phase // that is committed
	attempt  job.Attempt     // of the job, that is committed or that a message is about
	text     string
	level    int // length of the longest chain of causes within the step
}

func (l *line) who() string {
	if l.to == "" {
		return l.from
	}
	return l.from + " -> " + l.to
}

// anyTaskManager stands for the TaskManager that plans a job, which is any.
const anyTaskManager = "a TaskManager"

// teller turns events into lines.
type teller struct {
	names    *names
	jobs     []job.ID
	subtasks map[string]*progress // of an attempt on an instance
	told     map[string]bool      // lines that are told once
	decided  map[job.ID]execution.Intent
}

// progress is how far an attempt has got on one TaskManager.
type progress struct {
	states map[job.Subtask]job.State
	pid    int
	said   job.State // to the leader
}

func (t *teller) tell(e Event) (l line, telling bool) {
	l = line{from: t.names.process(e.Process), kind: string(e.Kind)}
	switch e.Kind {
	case Claimed:
		l.text = fmt.Sprintf("claims epoch %d", e.Epoch)
	case Resumed:
		l.text = fmt.Sprintf("goes on under epoch %d over a new session", e.Epoch)
	case Fenced:
		l.text = fmt.Sprintf("wants to commit under epoch %d, and is refused: there is a newer one", e.Epoch)
	case Decided:
		before := t.decided[e.Job()]
		if t.decided[e.Job()] = e.Intent; ofCheckpoint(before, e.Intent) {
			return l, false // they come when it is time for them, and not as causes have effects
		}
		l.subject, l.phase, l.attempt = string(e.Job()), e.Intent.Phase, e.Intent.Attempt
		l.text = "commits: " + t.decision(e.Intent)
	case Recorded:
		l.subject = e.Instance
		l.text = fmt.Sprintf("commits: %s is %s", t.names.instance(e.Instance), e.Record.State)
		if e.Record.Reason != "" {
			l.text += ": " + t.names.in(e.Record.Reason)
		}
	case Sent:
		l.to, l.kind, l.subject = t.names.process(e.To), e.Message.Kind(), cmp.Or(string(e.Job()), e.Instance)
		_, l.attempt = about(e.Message)
		l.text, telling = t.message(e, &l)
		if e.Lost {
			l.text += "  (it never arrives)"
		}
		return l, telling
	}
	return l, true
}

// decision is what a committed intent says.
func (t *teller) decision(in execution.Intent) string {
	text := fmt.Sprintf("%s is %s", t.job(in.Spec.ID), in.Phase)
	if in.Phase == execution.Running {
		text += fmt.Sprintf(", attempt %d, on %s", in.Attempt, t.spread(in.Assignment))
	}
	if in.Failure != "" && in.Phase != execution.Created {
		text += ": " + t.failure(in.Failure)
	}
	return text
}

// spread tells how many slots are where. Which is where depends on names that chance has made.
func (t *teller) spread(assignment []string) string {
	count := map[string]int{}
	for _, instance := range assignment {
		count[t.names.instance(instance)]++
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		list = append(list, fmt.Sprintf("%s (%s)", name, counted(count[name], "slot")))
	}
	return strings.Join(list, " and ")
}

// counted is "1 slot" or "2 slots".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// job is what a job is called: by its place among the jobs.
func (t *teller) job(id job.ID) string {
	i := slices.Index(t.jobs, id)
	if i < 0 {
		i = len(t.jobs)
		t.jobs = append(t.jobs, id)
	}
	return fmt.Sprintf("job %d", i+1)
}

// message is what a message says, if it is news.
func (t *teller) message(e Event, l *line) (text string, news bool) {
	attempt := func(format string) string {
		id, n := about(e.Message)
		return fmt.Sprintf(format, fmt.Sprintf("%s attempt %d", t.job(id), n))
	}
	taskManager := t.names.instance(e.Instance)
	switch m := e.Message.(type) {
	case rpc.Greeting:
		l.from, l.to = l.to, l.from
		return "stands by", m.Lead && t.once(l.who(), e.Epoch)
	case rpc.Register:
		l.from = taskManager
		return "registers", t.once(l.who())
	case rpc.Refused:
		l.to = taskManager
		return "refused: " + t.names.in(m.Reason), m.Dead && t.once(l.who(), "refused")
	case rpc.Lead:
		l.to = taskManager
		return fmt.Sprintf("lead, epoch %d", e.Epoch), true
	case rpc.Plan:
		l.to = anyTaskManager
		return "plan " + t.job(m.Spec.ID), true
	case rpc.Deploy:
		l.to = taskManager
		return fmt.Sprintf("deploy %s of %s", counted(len(m.Slots), "slot"), attempt("%s")), true
	case rpc.Stop:
		l.to = taskManager
		return attempt("stop %s"), true
	case rpc.Confirm:
		l.to = taskManager
		return attempt("confirmed: the end of %s is committed"), true
	case rpc.Planned:
		l.from = anyTaskManager
		return t.planned(m), true
	case rpc.Report:
		l.from = taskManager
		return t.report(e.Instance, m), true
	case rpc.Status:
		l.from = taskManager
		state, failure := t.absorb(e.Instance, m.AttemptReport)
		return fmt.Sprintf("%s is %s%s", attempt("%s"), state, failure), state != ""
	case rpc.Stopped:
		l.from = taskManager
		return attempt("stopped: %s does not run here, and never will"), true
	case rpc.Farewell:
		l.from = taskManager
		return "farewell", true
	}
	return "", false
}

// once reports whether something is told for the first time.
func (t *teller) once(what ...any) bool {
	key := fmt.Sprint(what...)
	told := t.told[key]
	t.told[key] = true
	return !told
}

func (t *teller) planned(m rpc.Planned) string {
	if m.Graph == nil {
		return fmt.Sprintf("%s has no plan: %s", t.job(m.Job), t.failure(m.Error))
	}
	return fmt.Sprintf("planned: %s needs %s", t.job(m.Job), counted(m.Graph.Slots(), "slot"))
}

func (t *teller) report(instance string, m rpc.Report) string {
	if len(m.Attempts) == 0 {
		return "report: nothing runs here"
	}
	var list []string
	for _, a := range m.Attempts {
		p := t.progress(instance, a)
		pid := p.pid
		t.absorb(instance, a)
		text := fmt.Sprintf("%s attempt %d is %s", t.job(a.Job), a.Attempt, cmp.Or(p.state(), job.Deploying))
		if a.PID != 0 && a.PID == pid {
			text += ", in the same process"
		}
		p.said = p.state()
		list = append(list, text)
	}
	slices.Sort(list)
	return "report: " + strings.Join(list, "; ")
}

func (t *teller) progress(instance string, a rpc.AttemptReport) *progress {
	key := fmt.Sprint(instance, a.Job, a.Attempt)
	p := t.subtasks[key]
	if p == nil {
		p = &progress{states: map[job.Subtask]job.State{}}
		t.subtasks[key] = p
	}
	return p
}

// absorb notes what a TaskManager says about its subtasks, and returns what all of them have come
// to, if that is news.
func (t *teller) absorb(instance string, a rpc.AttemptReport) (state job.State, failure string) {
	p := t.progress(instance, a)
	p.pid = cmp.Or(a.PID, p.pid)
	for _, s := range a.Subtasks {
		p.states[s.Subtask] = s.State
		if s.State == job.Failed && failure == "" {
			failure = ": " + t.failure(s.Failure)
		}
	}
	state = p.state()
	if state == p.said || p.said.Terminal() {
		return "", ""
	}
	p.said = state
	return state, failure
}

// state is FAILED once one subtask is, RUNNING once all run or have ended, and another end
// once all have ended.
func (p *progress) state() job.State {
	count := map[job.State]int{}
	for _, s := range p.states {
		count[s]++
	}
	all := len(p.states)
	switch {
	case count[job.Failed] > 0:
		return job.Failed
	case count[job.Finished] == all:
		return job.Finished
	case count[job.Finished]+count[job.Canceled] == all:
		return job.Canceled
	case count[job.Finished]+count[job.Canceled]+count[job.Running] == all:
		return job.Running
	}
	return ""
}

var (
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	durations = regexp.MustCompile(`\b\d+(\.\d+)?(µs|ms|s)\b`)
)

// failure is the first line of a reason, without what differs each time.
func (t *teller) failure(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return t.names.in(s)
}
