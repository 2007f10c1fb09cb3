package model

// leases is the model of the leases under `pause`: two leaders in a row, the first of which may be cut off from
// coordination and live on; a TaskManager that they both may or may not reach, and the task process on
// it; and time, in ticks. Under `pause` at most one attempt of a subtask runs (I5).
//
// A lease is leaseTicks long, and a declaration waits that long from the reply of its commit. The fifth
// more is for clocks that run at different rates; here there is one.
type leases struct {
	off    Off
	end    int8 // when time ends
	grants int8 // renewals under way at most, which the bounds of channels are here
}

const leaseTicks = 2

type leasesState struct {
	now     int8
	epoch   int8         // in force
	terms   [3]leaseTerm // by epoch, from 1
	request int8         // when the TaskManager sent the newest request, -1: none yet
	grant   [2]leaseGrant
	until   int8 // the end of the lease that the task process holds
	manager bool // the TaskManager lives
	task    bool // and its task process
	heir    bool // a new instance runs on the host of a dead one
	proof   bool // and has ended the task processes of its predecessor
	dead    bool // it is declared dead, as committed
	second  bool // the next attempt was deployed elsewhere
}

// leaseTerm is what a leader knows.
type leaseTerm struct {
	leads     bool
	confirmed int8 // when its epoch was last known to be in force
	declared  bool // it knows of the declaration
	since     int8 // from when on it waits
}

// leaseGrant is an answer under way. Which leader sent it does not matter: a TaskManager cannot know better.
type leaseGrant struct {
	there bool
	until int8 // as the TaskManager will reckon, from when it sent the request
	span  int8 // the length that is in it
}

func (m leases) start() leasesState {
	s := leasesState{epoch: 1, request: -1, until: leaseTicks, manager: true, task: true}
	s.terms[1] = leaseTerm{leads: true}
	return s
}

const (
	leaseTick     = "time goes on, to %d"
	leaseConfirm  = "leader %d asks the quorum, which confirms its epoch"
	leaseClaim    = "epoch %d is claimed; its leader reads what is committed"
	leaseAsk      = "the TaskManager asks for renewal"
	leaseGrants   = "leader %d renews the lease, until %d"
	leaseStandby  = "a standby renews the lease, until %d"
	leaseReceive  = "the renewal reaches the TaskManager: its task may run until %d"
	leaseDeclare  = "leader %d commits that the TaskManager is dead"
	leaseRedeploy = "leader %d deploys the next attempt elsewhere"
	leaseKill     = "the TaskManager is killed; its task process has not noticed yet"
	leaseEnds     = "the task process ends: its TaskManager is gone"
	leaseHeir     = "a new instance starts on the host"
	leaseProves   = "the new instance has ended its predecessor's task processes, and registers"
)

func (m leases) next(s leasesState, add func(action, leasesState)) {
	if s.now < m.end {
		n := s
		n.now++
		add(act(leaseTick, int(n.now)), n)
	}
	if s.epoch+1 < int8(len(s.terms)) {
		n := s
		n.epoch++
		n.terms[n.epoch] = leaseTerm{leads: true, confirmed: s.now, declared: s.dead, since: s.now}
		if s.dead && m.off[FoundDeclarationWaitsAnew] {
			n.terms[n.epoch].since = -leaseTicks
		}
		add(act(leaseClaim, int(n.epoch)), n)
	}
	for e := int8(1); e < int8(len(s.terms)); e++ {
		if s.terms[e].leads {
			m.leader(s, e, add)
		}
	}
	m.taskManager(s, add)
	m.fate(s, add)
}

// leader is what the leader of an epoch may do, whether that is in force or not.
func (m leases) leader(s leasesState, e int8, add func(action, leasesState)) {
	t := s.terms[e]
	if e == s.epoch && t.confirmed < s.now {
		n := s
		n.terms[e].confirmed = s.now
		add(act(leaseConfirm, int(e)), n)
	}
	span := leaseTicks - (s.now - t.confirmed)
	if m.off[RenewWithWhatRemains] {
		span = leaseTicks
	}
	if span > 0 && s.request >= 0 && (!t.declared || m.off[DeadStaysDead]) {
		m.renew(s, span, action{text: leaseGrants, n: [4]int{int(e)}}, 1, add)
	}
	if e == s.epoch && !s.dead {
		n := s
		n.dead, n.terms[e].declared, n.terms[e].since = true, true, s.now
		add(act(leaseDeclare, int(e)), n)
	}
	waited := s.now >= t.since+leaseTicks || m.off[WaitForTheLease]
	if e == s.epoch && s.dead && t.declared && !s.second && (waited || s.proof) {
		n := s
		n.second = true
		add(act(leaseRedeploy, int(e)), n)
	}
}

// renew sends a renewal. An earlier one in its place is lost.
func (m leases) renew(s leasesState, span int8, a action, arg int, add func(action, leasesState)) {
	g := leaseGrant{true, s.request + span, span}
	a.n[arg] = int(g.until)
	for i := range m.grants {
		n := s
		n.grant[i] = g
		add(a, n)
	}
}

func (m leases) taskManager(s leasesState, add func(action, leasesState)) {
	if !s.manager {
		return
	}
	if s.request < s.now {
		n := s
		n.request = s.now
		add(act(leaseAsk), n)
	}
	if m.off[StandbysDoNotRenew] && s.request >= 0 {
		m.renew(s, leaseTicks, action{text: leaseStandby}, 0, add)
	}
	for i := range s.grant {
		if g := s.grant[i]; g.there {
			until := g.until
			if m.off[LeaseFromTheRequest] {
				until = s.now + g.span
			}
			n := s
			n.grant[i] = leaseGrant{}
			n.until = max(n.until, until)
			add(act(leaseReceive, int(n.until)), n)
		}
	}
}

// fate is what happens to the TaskManager.
func (m leases) fate(s leasesState, add func(action, leasesState)) {
	if s.manager {
		n := s
		n.manager = false
		add(act(leaseKill), n)
		return
	}
	if s.task {
		n := s
		n.task = false
		add(act(leaseEnds), n)
	}
	if !s.heir {
		n := s
		n.heir, n.proof = true, m.off[ProofEndsProcesses]
		add(act(leaseHeir), n)
	}
	if s.heir && !s.proof {
		n := s
		n.proof, n.task = true, false
		add(act(leaseProves), n)
	}
}

func (m leases) broken(s leasesState) string {
	if s.second && s.task && s.now < s.until {
		return "I5: under pause, the old attempt and the next one run at the same time"
	}
	return ""
}

func (m leases) stuck(leasesState) string { return "" }

func (m leases) twin(s leasesState) leasesState {
	s.grant[0], s.grant[1] = s.grant[1], s.grant[0]
	return s
}

func (m leases) goals() []goal[leasesState] {
	return []goal[leasesState]{
		{"the next attempt runs after the wait, and the TaskManager still lives", func(s leasesState) bool { return s.second && s.manager }},
		{"the next attempt runs on proof, before the wait is over", func(s leasesState) bool {
			return s.second && s.proof && s.now < s.terms[s.epoch].since+leaseTicks
		}},
		{"a leader that was replaced lives while its successor waits", func(s leasesState) bool { return s.epoch == 2 && s.dead }},
		{"a lease that was renewed is in force", func(s leasesState) bool { return s.now > leaseTicks && s.now < s.until }},
	}
}

func leasesRun(off Off, z size) Result {
	m := leases{off: off, end: 6, grants: 1}
	if z == large {
		m.end, m.grants = 9, 2
	}
	return explore(m, z.limit())
}
