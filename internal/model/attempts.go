package model

// attempts is the model of what runs where: a job of two subtasks on two hosts, each with a TaskManager that
// may die, come back as a new instance, or be cut off and declared dead although it lives; leaders that follow
// one another, none of whose messages is ever taken back. The policy is `run`: an instance that was declared dead may run on, and
// counts no more. What leases add for `pause` is in leases.
//
// What a leader may have sent is all that follows from what it ever knew to be committed, so sending is no action: the
// masks deploys, stops and confirms grow with each commit. That commits are atomic here, conditional and
// fenced, is what the model epochs shows.
type attempts struct {
	off     Off
	regions int  // 2: each subtask is a region, with attempts of its own; 1: they restart together
	epochs  int8 // the highest
	last    int8 // the highest attempt
	faults  int8 // how many times a TaskManager dies, is cut off, or a task process crashes
	cancels bool // the job may be cancelled
}

const (
	hosts     = 2
	parts     = 2
	perHost   = 2 // instances of a TaskManager, one after the other
	instances = hosts * perHost
	maxTries  = 3
)

type attemptsState struct {
	epoch  int8
	intent attemptsIntent
	dead   [instances]bool // as committed

	where                    [parts][maxTries + 1]int8 // the instance of each attempt
	deploys, stops, confirms [parts][maxTries + 1]set8
	heard                    [parts]int8            // the attempt that the present leader knows to have finished
	promised                 [parts][instances]int8 // what TaskManagers said: no attempt up to this one runs, or will
	started                  [parts]set8            // attempts that were started

	hosts  [hosts]hostState
	faults int8
	broke  string
}

// set8 is a set of small numbers.
type set8 uint8

func (s set8) has(n int8) bool { return s&(1<<n) != 0 }

func (s *set8) put(n int8) { *s |= 1 << n }

// attemptsIntent is what is committed about the job.
type attemptsIntent struct {
	last    int8        // attempt of the job
	attempt [parts]int8 // 0: none yet
	givenUp [parts]bool
	phase   jobPhase
}

type jobPhase int8

const (
	jobRuns jobPhase = iota
	jobCancels
	jobCanceled
	jobFinished
)

func (in attemptsIntent) terminal() bool { return in.phase >= jobCanceled }

// hostState is the TaskManager of a host.
type hostState struct {
	instance int8 // the present one
	down     bool
	seen     int8
	parts    [parts]entryState
}

// entryState is what an instance knows of a part.
type entryState struct {
	current  int8 // the attempt that runs, or has ended and is held
	state    taskState
	promised int8
}

type taskState int8

const (
	runs taskState = iota
	hasFinished
	hasCrashed
)

func (m attempts) start() attemptsState {
	s := attemptsState{epoch: 1}
	s.intent.givenUp = [parts]bool{true, true}
	for h := range s.hosts {
		s.hosts[h].instance = int8(h * perHost)
		s.hosts[h].seen = 1
	}
	return s
}

const (
	attemptTakeover = "a JobManager claims epoch %d, and reads what is committed"
	attemptStart    = "attempt %d is committed: subtasks %d and %d start"
	attemptStartOne = "attempt %d of subtask %d is committed, on instance %d"
	attemptEarly    = "the leader of epoch %d deploys attempt %d of subtask %d before it is committed"
	attemptGiveUp   = "subtask %d of attempt %d is committed as given up"
	attemptFinish   = "the end of the job is committed"
	attemptCancel   = "that the job is to be cancelled is committed"
	attemptCanceled = "that the job is cancelled is committed"
	attemptDead     = "instance %d, which has ended, is committed as dead"
	attemptLost     = "instance %d, which is cut off, is committed as dead"
	attemptAwake    = "the leader wakes from a pause, hears nothing of instance %d, and commits it as dead"
	attemptFrozen   = "the leader of epoch %d loses coordination, and stops attempt %d of subtask %d"
	attemptDeploy   = "instance %d starts attempt %d of subtask %d, by a deploy of epoch %d"
	attemptStop     = "instance %d stops attempt %d of subtask %d, by a stop of epoch %d"
	attemptConfirm  = "instance %d forgets attempt %d of subtask %d, by a confirm of epoch %d"
	attemptFarewell = "instance %d hears the farewell of epoch %d, and ends what it runs"
	attemptDone     = "attempt %d of subtask %d finishes"
	attemptCrash    = "the task process of attempt %d of subtask %d is killed"
	attemptTell     = "instance %d tells the leader that attempt %d of subtask %d has finished"
	attemptKill     = "the TaskManager of instance %d is killed"
	attemptReturn   = "a new TaskManager starts: instance %d"
	attemptRefused  = "instance %d hears that it was declared dead, and ends"
)

func (m attempts) next(s attemptsState, add func(action, attemptsState)) {
	if s.epoch < m.epochs {
		n := s
		n.epoch++
		n.heard = [parts]int8{}
		m.mayBeSent(&n)
		add(act(attemptTakeover, int(n.epoch)), n)
	}
	m.leader(s, add)
	m.records(s, add)
	for h := range s.hosts {
		if !s.hosts[h].down {
			m.obey(s, h, add)
			m.live(s, h, add)
		} else if at := s.hosts[h].instance; int(at)%perHost < perHost-1 {
			n := s
			n.hosts[h] = hostState{instance: at + 1, seen: s.epoch} // its registration is committed
			add(act(attemptReturn, int(at)+1), n)
		}
	}
}

// mayBeSent adds all that the present leader may send from now on.
func (m attempts) mayBeSent(s *attemptsState) {
	for p := range parts {
		a := s.intent.attempt[p]
		switch {
		case a == 0:
		case s.intent.terminal():
			s.confirms[p][a].put(s.epoch)
		case s.intent.givenUp[p] || s.intent.phase == jobCancels:
			s.stops[p][a].put(s.epoch)
		default:
			s.deploys[p][a].put(s.epoch)
		}
	}
}

// leader decides, from what is committed.
func (m attempts) leader(s attemptsState, add func(action, attemptsState)) {
	in := s.intent
	if in.phase != jobRuns {
		m.cancel(s, add)
		return
	}
	if m.cancels {
		n := s
		n.intent.phase = jobCancels
		m.mayBeSent(&n)
		add(act(attemptCancel), n)
	}
	for p := range parts {
		if !in.givenUp[p] && m.lost(s, p) {
			n := s
			n.intent.givenUp[p] = true
			if m.regions == 1 {
				n.intent.givenUp = [parts]bool{true, true}
			}
			m.mayBeSent(&n)
			add(act(attemptGiveUp, p, int(in.attempt[p])), n)
		}
		if m.off[FreezeWithoutCoordination] && !in.givenUp[p] {
			n := s
			n.stops[p][in.attempt[p]].put(s.epoch)
			add(act(attemptFrozen, int(s.epoch), int(in.attempt[p]), p), n)
		}
	}
	if s.heard == in.attempt && in.givenUp == [parts]bool{} {
		n := s
		n.intent.phase = jobFinished
		m.mayBeSent(&n)
		add(act(attemptFinish), n)
	}
	m.begin(s, add)
}

// cancel commits the end of a job that is being cancelled, once there is evidence that nothing of it runs.
func (m attempts) cancel(s attemptsState, add func(action, attemptsState)) {
	if s.intent.phase == jobCancels && m.ended(s, 0) && m.ended(s, 1) {
		n := s
		n.intent.phase = jobCanceled
		m.mayBeSent(&n)
		add(act(attemptCanceled), n)
	}
}

// lost reports whether the leader has reason to give a part up.
func (m attempts) lost(s attemptsState, p int) bool {
	a := s.intent.attempt[p]
	at := s.where[p][a]
	host := s.hosts[at/perHost]
	crashed := host.instance == at && host.parts[p].current == a && host.parts[p].state == hasCrashed
	return s.dead[at] || crashed || s.promised[p][at] >= a
}

// begin commits the next attempt of what was given up, once there is evidence that nothing of it runs.
func (m attempts) begin(s attemptsState, add func(action, attemptsState)) {
	in := s.intent
	if in.last == m.last || in.givenUp == [parts]bool{} || !m.evidence(s, 0) || !m.evidence(s, 1) {
		return
	}
	n := s
	n.intent.last++
	for _, first := range m.places(s, 0) {
		for _, second := range m.places(s, 1) {
			m.commitAttempt(n, [parts]int8{first, second}, add)
		}
	}
}

func (m attempts) commitAttempt(n attemptsState, at [parts]int8, add func(action, attemptsState)) {
	a := n.intent.last
	began := 0
	for p := range parts {
		if !n.intent.givenUp[p] {
			continue
		}
		n.intent.attempt[p], n.intent.givenUp[p], n.where[p][a], n.heard[p] = a, false, at[p], 0
		began += p + 1
		if m.off[DeployAfterCommit] {
			early := n
			early.intent, early.deploys[p][a] = attemptsIntent{last: a - 1}, 0
			early.deploys[p][a].put(n.epoch)
			add(act(attemptEarly, int(n.epoch), int(a), p), early)
		}
	}
	m.mayBeSent(&n)
	if began == 3 {
		add(act(attemptStart, int(a), 0, 1), n)
	} else {
		add(act(attemptStartOne, int(a), began-1, int(at[began-1])), n)
	}
}

// evidence reports whether the attempt of a part that was given up is known to run no more.
func (m attempts) evidence(s attemptsState, p int) bool {
	return !s.intent.givenUp[p] || m.ended(s, p)
}

// ended reports whether the committed attempt of a part is known to run no more (R4, R5).
func (m attempts) ended(s attemptsState, p int) bool {
	a := s.intent.attempt[p]
	at := s.where[p][a]
	switch {
	case a == 0 || m.off[RedeployOnEvidence]:
		return true
	case m.off[EvidenceNamesTheAttempt]:
		return s.dead[at] || s.promised[p][at] > 0
	}
	return s.dead[at] || s.promised[p][at] >= a
}

// places are the instances on which a part may start next; one that is not to start has one, which is not used.
func (m attempts) places(s attemptsState, p int) (list []int8) {
	a := s.intent.attempt[p]
	if !s.intent.givenUp[p] {
		return []int8{0}
	}
	if at := s.where[p][a]; m.regions == 2 && a > 0 && !s.dead[at] && !m.off[RedeployOnEvidence] {
		return []int8{at} // a part of a job keeps its slots
	}
	for i := range int8(instances) {
		if m.known(s, i) && !s.dead[i] {
			list = append(list, i)
		}
	}
	return list
}

// known reports whether an instance has ever been there: a registration is committed before a leader counts on it.
func (m attempts) known(s attemptsState, i int8) bool { return i <= s.hosts[i/perHost].instance }

// records are the commits about TaskManagers.
func (m attempts) records(s attemptsState, add func(action, attemptsState)) {
	for i := range int8(instances) {
		host := s.hosts[i/perHost]
		present := host.instance == i && !host.down
		n := s
		n.dead[i] = true
		switch {
		case !m.known(s, i) || s.dead[i]:
		case !present:
			add(act(attemptDead, int(i)), n)
		default:
			if m.off[OwnPauseIsNoSilence] {
				add(act(attemptAwake, int(i)), n)
			}
			if n.faults++; n.faults <= m.faults {
				add(act(attemptLost, int(i)), n)
			}
		}
	}
}

// obey lets the TaskManager of a host receive any message that was ever sent to it.
func (m attempts) obey(s attemptsState, h int, add func(action, attemptsState)) {
	t := s.hosts[h]
	for e := int8(1); e <= s.epoch; e++ {
		low := e < t.seen
		if low && m.off[FarewellsAreFenced] {
			n := s
			n.hosts[h].parts = [parts]entryState{}
			m.interrupted(s, &n, h)
			add(act(attemptFarewell, int(t.instance), int(e)), n)
		}
		if low {
			continue
		}
		for p := range parts {
			for a := int8(1); a <= m.last; a++ {
				m.receive(s, h, e, p, a, add)
			}
		}
	}
	if s.dead[t.instance] && t.seen <= s.epoch {
		n := s
		m.goDown(&n, h)
		add(act(attemptRefused, int(t.instance)), n)
	}
}

func (m attempts) receive(s attemptsState, h int, e int8, p int, a int8, add func(action, attemptsState)) {
	t := s.hosts[h]
	meant := s.where[p][a] == t.instance || m.off[InstanceIsNamed] && s.where[p][a]/perHost == int8(h)
	if s.deploys[p][a].has(e) && meant {
		n := s
		n.hosts[h].seen = e
		m.deploy(s, &n, h, p, a)
		add(act(attemptDeploy, int(t.instance), int(a), p, int(e)), n)
	}
	if s.stops[p][a].has(e) && meant {
		n := s
		n.hosts[h].seen = e
		m.stop(s, &n, h, p, a)
		add(act(attemptStop, int(t.instance), int(a), p, int(e)), n)
	}
	if s.confirms[p][a].has(e) && meant {
		n := s
		n.hosts[h].seen = e
		entry := &n.hosts[h].parts[p]
		entry.promised = max(entry.promised, a)
		if entry.current <= a {
			entry.current, entry.state = 0, runs
		}
		m.interrupted(s, &n, h)
		add(act(attemptConfirm, int(t.instance), int(a), p, int(e)), n)
	}
}

// deploy is the decision of a TaskManager's table: see internal/taskmanager/table.go.
func (m attempts) deploy(s attemptsState, n *attemptsState, h, p int, a int8) {
	at, entry := s.hosts[h].instance, &n.hosts[h].parts[p]
	switch {
	case entry.current == a:
	case entry.current > a:
		n.promised[p][at] = max(n.promised[p][at], entry.current-1)
	case entry.promised >= a && !(entry.current > 0 && entry.state == runs):
		n.promised[p][at] = max(n.promised[p][at], entry.promised)
	case entry.promised >= a:
	default: // one that runs is ended first
		*entry = entryState{current: a, promised: a - 1}
		m.interrupted(s, n, h)
		if n.started[p].has(a) {
			n.broke = "I3: an attempt was started twice"
		}
		if s.intent.terminal() && !s.dead[at] {
			n.broke = "I9: an attempt was started after the end of the job"
		}
		n.started[p].put(a)
	}
}

// stop ends an attempt, and says so. Without R6 it says so and promises nothing.
func (m attempts) stop(s attemptsState, n *attemptsState, h, p int, a int8) {
	at, entry := s.hosts[h].instance, &n.hosts[h].parts[p]
	if !m.off[PromiseIsKept] {
		entry.promised = max(entry.promised, a)
	}
	if entry.current > 0 && entry.current <= a && entry.state == runs {
		entry.current = 0
	}
	n.promised[p][at] = max(n.promised[p][at], a)
	m.interrupted(s, n, h)
}

// interrupted notes a task that was ended although no TaskManager and no task had a fault.
func (m attempts) interrupted(s attemptsState, n *attemptsState, h int) {
	for p := range parts {
		before, after := s.hosts[h].parts[p], n.hosts[h].parts[p]
		if before.current > 0 && before.state == runs && after.current != before.current && s.faults == 0 && s.intent.phase != jobCancels {
			n.broke = "I6: a task was interrupted, with faults of JobManagers and coordination alone"
		}
	}
}

// live is what happens on a host by itself.
func (m attempts) live(s attemptsState, h int, add func(action, attemptsState)) {
	t := s.hosts[h]
	for p, entry := range t.parts {
		a := entry.current
		if a > 0 && entry.state == runs {
			n := s
			n.hosts[h].parts[p].state = hasFinished
			add(act(attemptDone, int(a), p), n)
			if s.faults < m.faults {
				n.faults++
				n.hosts[h].parts[p].state = hasCrashed
				add(act(attemptCrash, int(a), p), n)
			}
		}
		if a > 0 && entry.state == hasFinished && s.intent.attempt[p] == a && t.seen == s.epoch && s.heard[p] != a {
			n := s
			n.heard[p] = a
			if m.off[FinalStatesAreHeld] {
				n.hosts[h].parts[p] = entryState{promised: entry.promised}
			}
			add(act(attemptTell, int(t.instance), int(a), p), n)
		}
	}
	if s.faults < m.faults {
		n := s
		n.faults++
		m.goDown(&n, h)
		add(act(attemptKill, int(t.instance)), n)
	}
}

func (m attempts) goDown(n *attemptsState, h int) {
	n.hosts[h] = hostState{instance: n.hosts[h].instance, down: true}
}

func (m attempts) broken(s attemptsState) string {
	if s.broke != "" {
		return s.broke
	}
	for p := range parts {
		running := 0
		for _, t := range s.hosts {
			if entry := t.parts[p]; entry.current > 0 && entry.state == runs && !s.dead[t.instance] {
				running++
				if s.intent.phase == jobCanceled {
					return "I9: an attempt runs after the job was cancelled"
				}
				if entry.current > s.intent.attempt[p] {
					return "I3: an attempt runs that is above the committed one"
				}
			}
		}
		if running > 1 {
			return "I5: two attempts of a subtask run, on instances that were not declared dead"
		}
	}
	return ""
}

// stuck is a job that goes on for ever, unless attempts or TaskManagers were used up, which are bounded here alone.
func (m attempts) stuck(s attemptsState) string {
	usable := false
	for i := range int8(instances) {
		usable = usable || m.known(s, i) && !s.dead[i]
	}
	if s.intent.terminal() || !usable || s.intent.last == m.last && s.intent.phase == jobRuns {
		return ""
	}
	return "L1: the job does not come to an end"
}

// twin has the hosts exchanged.
func (m attempts) twin(s attemptsState) attemptsState {
	t := s
	t.hosts[0], t.hosts[1] = s.hosts[1], s.hosts[0]
	for i := range int8(instances) {
		j := other(i)
		t.dead[j] = s.dead[i]
		for p := range parts {
			t.promised[p][j] = s.promised[p][i]
		}
	}
	for h := range t.hosts {
		t.hosts[h].instance = other(t.hosts[h].instance)
	}
	for p := range parts {
		for a := int8(1); a <= s.intent.last; a++ {
			t.where[p][a] = other(s.where[p][a])
		}
	}
	return t
}

// other is the instance on the other host.
func other(i int8) int8 { return (i + perHost) % instances }

func (m attempts) goals() []goal[attemptsState] {
	return []goal[attemptsState]{
		{"the job finishes in its last attempt", func(s attemptsState) bool { return s.intent.phase == jobFinished && s.intent.last == m.last }},
		{"an instance that was declared dead runs on beside its successor", func(s attemptsState) bool {
			a, b := s.hosts[0], s.hosts[1]
			return a.parts[0].current > 0 && b.parts[0].current > 0 && (s.dead[a.instance] || s.dead[b.instance])
		}},
		{"a job that ran is cancelled", func(s attemptsState) bool { return s.intent.phase == jobCanceled && s.started[0] != 0 }},
		{"a task is adopted by each leader", func(s attemptsState) bool {
			return s.epoch == m.epochs && s.hosts[0].seen == m.epochs && s.hosts[0].parts[0].current == 1
		}},
		{"subtasks run under different attempts, if they are regions", func(s attemptsState) bool {
			return m.regions == 1 || s.intent.attempt[0] != s.intent.attempt[1] && s.intent.givenUp == [parts]bool{}
		}},
	}
}

func attemptsRun(regions int) func(Off, size) Result {
	return func(off Off, z size) Result {
		m := attempts{off: off, regions: regions, epochs: 2, last: 2, faults: 2}
		some, all := m, m
		some.faults, some.cancels = 1, true
		all.last = 3
		switch {
		case z == large:
			m.cancels = true
			return join(explore(m, z.limit()), explore(all, z.limit()))
		case off[EvidenceNamesTheAttempt]: // which it takes three attempts to be hurt by
			return explore(all, z.limit())
		case off != Off{}:
			return explore(m, z.limit())
		}
		return explore(some, z.limit())
	}
}
