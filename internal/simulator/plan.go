package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// Plan is a run: a cluster, what it is asked to do, and what befalls it. It is data, so that Shrink can take faults away.
type Plan struct {
	Seed         uint64
	JobManagers  int
	TaskManagers int
	Slots        int // of each TaskManager
	Jobs         []Job
	Faults       []Fault
	Length       time.Duration // of the time in which faults come; all are healed at its end
	// Calm says that all faults are those of JobManagers and coordination, so that no task may be interrupted (I6).
	Calm bool
}

// Job is a job that a client submits.
type Job struct {
	ID          job.ID
	At          time.Duration
	Parallelism int
	Records     int           // of each subtask; 0: it has no end
	Apart       bool          // each slot is a region
	CancelAt    time.Duration // 0: never
}

// Kind is what befalls whom.
type Kind string

// The kinds of fault. Target and Other name hosts, such as jm-1 or tm-2; a Target of "leader" is whoever leads then.
const (
	Kill             Kind = "kill"              // Target's process, as SIGKILL does; it is started again after For
	PowerOff         Kind = "power off"         // Target's host: nobody is told; started again after For
	Stop             Kind = "stop"              // Target's process, as SIGTERM does; started again after For
	Freeze           Kind = "freeze"            // nothing goes in or out of Target's process
	Partition        Kind = "partition"         // Target and Other are cut off from each other
	OneWay           Kind = "one way"           // what Target sends to Other does not arrive
	Delay            Kind = "delay"             // what Target sends to Other, and back, takes By longer
	Reset            Kind = "reset"             // every connection of Target's process breaks, once
	CutCoordination  Kind = "cut coordination"  // Target's requests wait, and arrive later
	LoseReplies      Kind = "lose replies"      // Target's requests have their effect, and it does not hear of it
	SlowCoordination Kind = "slow coordination" // Target's requests take By longer
	QuorumLost       Kind = "quorum lost"       // CutCoordination of everybody
	ExpireSession    Kind = "expire session"    // coordination ends Target's session
	KillTask         Kind = "kill task"         // a task process of Target
	SlowDisk         Kind = "slow disk"         // storage takes By longer
	DiskAway         Kind = "disk away"         // storage fails
	JumpClock        Kind = "jump clock"        // Target's wall clock jumps by By, and back after For
	Repeat           Kind = "repeat"            // half of what Target, a JobManager, ever commanded Other, a TaskManager, comes again, or late
)

// leaderRole is a Target that is found when the fault comes.
const leaderRole = "leader"

// Fault is something that befalls the cluster.
type Fault struct {
	Kind   Kind
	At     time.Duration
	For    time.Duration
	Target string
	Other  string
	By     time.Duration
}

func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.3fs %s", f.At.Seconds(), f.Kind)
	for _, s := range []string{f.Target, f.Other} {
		if s != "" {
			fmt.Fprintf(&b, " %s", s)
		}
	}
	if f.By != 0 {
		fmt.Fprintf(&b, " by %v", f.By)
	}
	if f.For != 0 {
		fmt.Fprintf(&b, " for %v", f.For)
	}
	return b.String()
}

// trait is what goes for a kind.
type trait struct {
	target, other bool // it has one
	lasts         bool // it ends after For
	by            bool // it has an amount
	managers      bool // it is nothing for JobManagers
	commands      bool // it is of a JobManager's commands to a TaskManager
	stormy        bool // it may cost a task, whomever it befalls
	weight        int  // how often it is drawn
}

var traits = map[Kind]trait{
	Kill:             {target: true, lasts: true, weight: 6},
	PowerOff:         {target: true, lasts: true, weight: 3},
	Stop:             {target: true, lasts: true, weight: 2},
	Freeze:           {target: true, lasts: true, weight: 5},
	Partition:        {target: true, other: true, lasts: true, weight: 5},
	OneWay:           {target: true, other: true, lasts: true, weight: 4},
	Delay:            {target: true, other: true, lasts: true, by: true, weight: 3},
	Reset:            {target: true, weight: 4},
	CutCoordination:  {target: true, lasts: true, weight: 4},
	LoseReplies:      {target: true, lasts: true, weight: 4},
	SlowCoordination: {target: true, lasts: true, by: true, weight: 2},
	QuorumLost:       {lasts: true, weight: 2},
	ExpireSession:    {target: true, weight: 2},
	KillTask:         {target: true, managers: true, stormy: true, weight: 10},
	SlowDisk:         {lasts: true, by: true, weight: 2},
	DiskAway:         {lasts: true, stormy: true, weight: 2},
	JumpClock:        {target: true, lasts: true, by: true, weight: 2},
	Repeat:           {target: true, other: true, commands: true, weight: 4},
}

// kinds are all of them that this binary can do, in one order.
func kinds() []Kind {
	var list []Kind
	for k := range traits {
		if k != JumpClock || canJump {
			list = append(list, k)
		}
	}
	slices.Sort(list)
	return list
}

// longestFreeze bounds Freeze of a JobManager. A real process that is frozen does not think; here it takes others for dead
// that it cannot hear, unless it is over by then.
const longestFreeze = taskManagerTimeout - heartbeatTimeout

// hosts are those of the cluster.
func (p *Plan) hosts() (jms, tms []string) {
	for i := range p.JobManagers {
		jms = append(jms, fmt.Sprintf("jm-%d", i+1))
	}
	for i := range p.TaskManagers {
		tms = append(tms, fmt.Sprintf("tm-%d", i+1))
	}
	return jms, tms
}

// Check says what is impossible in a plan.
func (p *Plan) Check() error {
	if p.JobManagers < 1 || p.JobManagers > 9 || p.TaskManagers < 1 || p.TaskManagers > 9 || p.Slots < 1 || p.Length <= 0 {
		return fmt.Errorf("a cluster of %d JobManagers and %d TaskManagers with %d slots for %v: expected 1 to 9 of each, 1 slot or more, and some time", p.JobManagers, p.TaskManagers, p.Slots, p.Length)
	}
	var err error
	slots := 0
	for _, j := range p.Jobs {
		slots += j.Parallelism
	}
	if has := p.TaskManagers * p.Slots; slots > has {
		err = fmt.Errorf("jobs that need %d slots on %d: one of them would wait for ever", slots, has)
	}
	for i, j := range p.Jobs {
		if problem := p.checkJob(j); problem != "" {
			err = errors.Join(err, fmt.Errorf("job %d: %s", i+1, problem))
		}
	}
	for i, f := range p.Faults {
		if problem := p.checkFault(f); problem != "" {
			err = errors.Join(err, fmt.Errorf("fault %d (%v): %s", i+1, f, problem))
		}
	}
	return err
}

func (p *Plan) checkJob(j Job) string {
	_, err := job.ParseID(string(j.ID))
	switch {
	case err != nil:
		return err.Error()
	case j.Parallelism < 1:
		return fmt.Sprintf("parallelism %d", j.Parallelism)
	case j.At < 0 || j.At > p.Length || j.CancelAt != 0 && j.CancelAt < j.At || j.CancelAt > p.Length:
		return fmt.Sprintf("submitted at %v and cancelled at %v, in a run of %v", j.At, j.CancelAt, p.Length)
	}
	return ""
}

func (p *Plan) checkFault(f Fault) string {
	t, known := traits[f.Kind]
	jms, tms := p.hosts()
	isJM := slices.Contains(jms, f.Target) || f.Target == leaderRole
	exists := func(h string) bool { return slices.Contains(jms, h) || slices.Contains(tms, h) || h == leaderRole }
	switch {
	case !known:
		return fmt.Sprintf("there is no such kind; there are %v", kinds())
	case f.Kind == JumpClock && !canJump:
		return "one clock for all hosts is what testing/synctest has: make simulate builds a runtime that has more"
	case f.At < 0 || f.At >= p.Length:
		return fmt.Sprintf("it comes when the run of %v is over", p.Length)
	case t.lasts != (f.For > 0):
		return fmt.Sprintf("for %v: expected a time of some kinds, and of this one: %t", f.For, t.lasts)
	case t.by != (f.By != 0):
		return fmt.Sprintf("by %v: expected an amount of some kinds, and of this one: %t", f.By, t.by)
	case t.target != (f.Target != "") || t.target && !exists(f.Target):
		return fmt.Sprintf("%q is no host of this cluster that it could befall", f.Target)
	case t.other != (f.Other != "") || t.other && !exists(f.Other):
		return fmt.Sprintf("%q is no other host of this cluster", f.Other)
	case t.other && f.Target == f.Other:
		return "a host is not cut off from itself"
	case t.managers && isJM:
		return "a JobManager has no task processes"
	case t.commands && (!isJM || !slices.Contains(tms, f.Other)):
		return "a JobManager commands a TaskManager, and nobody else does"
	case f.Kind == Freeze && isJM && f.For > longestFreeze:
		return fmt.Sprintf("a process that is frozen here goes on thinking, and takes TaskManagers for dead after %v: at most %v", taskManagerTimeout, longestFreeze)
	case p.Calm && t.stormy:
		return "in a calm run nothing may befall TaskManagers and storage"
	case p.Calm && (t.target && !isJM || t.other && !t.commands && !slices.Contains(jms, f.Other)) && f.Kind != Reset && f.Kind != CutCoordination && f.Kind != LoseReplies && f.Kind != SlowCoordination && f.Kind != ExpireSession && f.Kind != JumpClock:
		return "in a calm run only JobManagers and coordination fail"
	}
	return ""
}

// Draw makes the plan of a seed. Every third is calm.
func Draw(seed uint64) Plan {
	d := drawer{rand.New(rand.NewPCG(seed, 18)), Plan{
		Seed: seed, Calm: seed%3 == 0, Length: 12 * time.Second,
	}}
	p := &d.plan
	p.JobManagers, p.TaskManagers, p.Slots = 2+d.IntN(2), 2+d.IntN(2), 2
	for slots := p.TaskManagers * p.Slots; slots > 0 && len(p.Jobs) < 3; {
		j := d.job()
		j.Parallelism = min(j.Parallelism, slots)
		slots -= j.Parallelism
		p.Jobs = append(p.Jobs, j)
	}
	for range 3 + d.IntN(16) {
		for _, f := range d.together() {
			if p.checkFault(f) == "" {
				p.Faults = append(p.Faults, f)
			}
		}
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return *p
}

type drawer struct {
	*rand.Rand
	plan Plan
}

// between draws a time, short ones more often.
func (d *drawer) between(low, high time.Duration) time.Duration {
	x := d.Float64()
	return low + time.Duration(x*x*float64(high-low)).Truncate(time.Millisecond)
}

func (d *drawer) job() Job {
	at := d.between(time.Millisecond, 5*time.Second)
	// As job.NewID makes them: by the time, in milliseconds, at which a bubble begins.
	id := fmt.Sprintf("%012x7%03x8%015x", 946684800000+at.Milliseconds(), d.IntN(1<<12), d.Uint64()>>4)
	j := Job{ID: job.ID(id), At: at, Parallelism: 1 + d.IntN(3), Apart: d.IntN(2) == 0}
	if d.IntN(2) == 0 {
		j.Records = 50 + d.IntN(800)
	}
	if d.IntN(4) == 0 {
		j.CancelAt = at + d.between(0, 6*time.Second)
	}
	return j
}

// together draws faults that come at once, or nearly: most often one of any kind, and else those that one is seldom
// enough for.
func (d *drawer) together() []Fault {
	at := time.Duration(d.IntN(int(d.plan.Length/time.Millisecond))) * time.Millisecond
	jms, tms := d.plan.hosts()
	switch tm := tms[d.IntN(len(tms))]; d.IntN(12) {
	case 0: // a leader is replaced and does not know
		f := Fault{Kind: CutCoordination, At: at, For: d.between(time.Second, 5*time.Second), Target: leaderRole}
		return append(d.cutOff(at, f.For, leaderRole, jms), f)
	case 1: // likewise, as it stands still, and what it said is on its way for long
		lasts := heartbeatTimeout + time.Duration(d.Float64()*float64(longestFreeze-heartbeatTimeout))
		late := Fault{Kind: Delay, At: max(0, at-400*time.Millisecond), For: lasts, Target: leaderRole, By: d.between(heartbeatTimeout, 2*time.Second)}
		list := []Fault{{Kind: []Kind{Freeze, Kill}[d.IntN(2)], At: at, For: lasts, Target: leaderRole}}
		for _, late.Other = range tms {
			list = append(list, late)
		}
		return list
	case 2: // a TaskManager and the leader die
		return []Fault{{Kind: Kill, At: at, For: d.between(time.Millisecond, 4*time.Second), Target: tm}, {Kind: Kill, At: at + d.between(0, time.Second), For: time.Second, Target: leaderRole}}
	case 3: // a TaskManager is declared dead, and lives
		return d.cutOff(at, taskManagerTimeout+d.between(100*time.Millisecond, 3*time.Second), tm, jms)
	case 4: // a leader's last commands do not arrive, and come after another has led
		return d.lateCommands(at, tm, jms)
	case 5: // what an attempt was told comes again, when the next one runs
		list := []Fault{{Kind: KillTask, At: at, Target: tm}}
		for range 3 {
			at += d.between(50*time.Millisecond, time.Second)
			list = append(list, Fault{Kind: Repeat, At: at, Target: leaderRole, Other: tm})
		}
		return list
	}
	return []Fault{d.fault(at)}
}

// lateCommands has a leader lose what it says to a TaskManager, then its leadership, and its successor likewise: so that the first
// may lead again when what it had said comes.
func (d *drawer) lateCommands(at time.Duration, tm string, jms []string) []Fault {
	lasts := d.between(50*time.Millisecond, time.Second)
	list := []Fault{
		{Kind: OneWay, At: at, For: lasts, Target: leaderRole, Other: tm},
		{Kind: Reset, At: at + lasts - time.Millisecond, Target: tm},
		{Kind: ExpireSession, At: at + lasts, Target: leaderRole},
		{Kind: ExpireSession, At: at + lasts + d.between(50*time.Millisecond, time.Second), Target: leaderRole},
	}
	for range 3 {
		at += lasts + d.between(0, time.Second)
		for _, jm := range jms {
			list = append(list, Fault{Kind: Repeat, At: at, Target: jm, Other: tm})
		}
	}
	return list
}

// cutOff parts a host from others.
func (d *drawer) cutOff(at, lasts time.Duration, host string, others []string) (list []Fault) {
	for _, other := range others {
		list = append(list, Fault{Kind: Partition, At: at, For: lasts, Target: host, Other: other})
	}
	return list
}

// fault draws one of any kind, which may be impossible.
func (d *drawer) fault(at time.Duration) Fault {
	f := Fault{Kind: d.kind(), At: at}
	t := traits[f.Kind]
	jms, tms := d.plan.hosts()
	if t.target {
		f.Target = d.host(jms, tms)
	}
	if t.managers {
		f.Target = tms[d.IntN(len(tms))]
	}
	if t.other {
		f.Other = d.host(jms, tms)
	}
	if t.commands {
		f.Target, f.Other = d.commander(jms), tms[d.IntN(len(tms))]
	}
	if t.lasts {
		f.For = d.between(time.Millisecond, 8*time.Second)
	}
	if f.Kind == Freeze {
		f.For = d.between(time.Millisecond, longestFreeze)
	}
	if t.by {
		f.By = d.between(time.Millisecond, time.Second)
	}
	if f.Kind == JumpClock {
		f.By = time.Duration(d.IntN(7200)-3600) * time.Second
	}
	return f
}

func (d *drawer) kind() Kind {
	total := 0
	for _, k := range kinds() {
		total += traits[k].weight
	}
	n := d.IntN(total)
	for _, k := range kinds() {
		if n -= traits[k].weight; n < 0 {
			return k
		}
	}
	panic("weights")
}

// commander draws who may have commanded something.
func (d *drawer) commander(jms []string) string {
	if d.IntN(3) == 0 {
		return leaderRole
	}
	return jms[d.IntN(len(jms))]
}

// host draws one: in four of ten cases whoever leads.
func (d *drawer) host(jms, tms []string) string {
	switch n := d.IntN(10); {
	case n < 4:
		return leaderRole
	case n < 6 || d.plan.Calm:
		return jms[d.IntN(len(jms))]
	}
	return tms[d.IntN(len(tms))]
}
