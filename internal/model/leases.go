package model

// leases is the model of the leases under `pause`: leaders in a row, each of which may be cut off from
// coordination and live on; a TaskManager that they all may or may not reach, and the task process on
// it; and time, in ticks, which ends never: every time is kept as its distance from now, and what is
// over is over. Under `pause` at most one attempt of a subtask runs (I5).
//
// A lease is some ticks long, and a declaration waits that long from the reply of its commit. The fifth
// more is for clocks that run at different rates; here there is one.
type leases struct {
	off     Off
	leaders int8
	length  int8 // of a lease, in ticks
	grants  int8 // renewals under way at most: the newest
}

const (
	maxLeaders = 3
	maxGrants  = 2
)

type leasesState struct {
	epoch   int8                      // in force
	terms   [maxLeaders + 1]leaseTerm // by epoch, from 1
	request int8                      // how long ago the TaskManager sent its newest request; the length of a lease: too long
	grant   [maxGrants]leaseGrant
	left    int8 // of the lease that the task process holds
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
	confirmed int8 // for how long it is sure of its epoch yet, as far as renewals go
	declared  bool // it knows of the declaration
	wait      int8 // how long it waits yet
}

// leaseGrant is an answer under way. Which leader sent it does not matter: a TaskManager cannot know better.
type leaseGrant struct {
	left int8 // of it, reckoned from when the TaskManager sent the request
	span int8 // the length that is in it; 0: there is none
}

func (m leases) start() leasesState {
	s := leasesState{epoch: 1, request: m.length, left: m.length, manager: true, task: true}
	s.terms[1] = leaseTerm{leads: true, confirmed: m.length}
	return s
}

const (
	leaseTick     = "a tick passes"
	leaseConfirm  = "leader %d asks the quorum, which confirms its epoch"
	leaseClaim    = "epoch %d is claimed; its leader reads what is committed"
	leaseAsk      = "the TaskManager asks for renewal"
	leaseGrants   = "leader %d renews the lease, which ends in %d ticks"
	leaseStandby  = "a standby renews the lease, which ends in %d ticks"
	leaseReceive  = "the renewal reaches the TaskManager: its task may run for %d ticks"
	leaseDeclare  = "leader %d commits that the TaskManager is dead"
	leaseRedeploy = "leader %d deploys the next attempt elsewhere"
	leaseKill     = "the TaskManager is killed; its task process has not noticed yet"
	leaseEnds     = "the task process ends: its TaskManager is gone"
	leaseHeir     = "a new instance starts on the host"
	leaseProves   = "the new instance has ended its predecessor's task processes, and registers"
)

func (m leases) next(s leasesState, add func(action, leasesState)) {
	add(act(leaseTick), m.tick(s))
	if s.epoch < m.leaders {
		n := s
		n.epoch++
		n.terms[n.epoch] = leaseTerm{leads: true, confirmed: m.length, declared: s.dead, wait: m.length}
		if s.dead && m.off[FoundDeclarationWaitsAnew] {
			n.terms[n.epoch].wait = 0
		}
		add(act(leaseClaim, int(n.epoch)), n)
	}
	for e := int8(1); e <= s.epoch; e++ {
		m.leader(s, e, add)
	}
	m.taskManager(s, add)
	m.fate(s, add)
}

func (m leases) tick(s leasesState) leasesState {
	s.request = min(s.request+1, m.length)
	s.left = max(s.left-1, 0)
	for i := range s.terms {
		t := &s.terms[i]
		t.confirmed, t.wait = max(t.confirmed-1, 0), max(t.wait-1, 0)
	}
	for i := range s.grant {
		g := &s.grant[i]
		if g.left = max(g.left-1, 0); g.left == 0 && !m.off[LeaseFromTheRequest] {
			*g = leaseGrant{}
		}
	}
	return s
}

// leader is what the leader of an epoch may do, whether that is in force or not.
func (m leases) leader(s leasesState, e int8, add func(action, leasesState)) {
	t := s.terms[e]
	if e == s.epoch {
		n := s
		n.terms[e].confirmed = m.length
		add(act(leaseConfirm, int(e)), n)
	}
	span := t.confirmed
	if m.off[RenewWithWhatRemains] {
		span = m.length
	}
	if !t.declared || m.off[DeadStaysDead] {
		m.renew(s, span, action{text: leaseGrants, n: [4]int{int(e)}}, 1, add)
	}
	if e == s.epoch && !s.dead {
		n := s
		n.dead, n.terms[e].declared, n.terms[e].wait = true, true, m.length
		add(act(leaseDeclare, int(e)), n)
	}
	waited := t.wait == 0 || m.off[WaitForTheLease]
	if e == s.epoch && s.dead && t.declared && !s.second && (waited || s.proof) {
		n := s
		n.second = true
		add(act(leaseRedeploy, int(e)), n)
	}
}

// renew answers the newest request. An earlier renewal in the place of this one is lost.
func (m leases) renew(s leasesState, span int8, a action, arg int, add func(action, leasesState)) {
	if s.request == m.length || span-s.request <= 0 {
		return
	}
	g := leaseGrant{span - s.request, span}
	a.n[arg] = int(g.left)
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
	n := s
	n.request = 0
	add(act(leaseAsk), n)
	if m.off[StandbysDoNotRenew] {
		m.renew(s, m.length, action{text: leaseStandby}, 0, add)
	}
	for i, g := range s.grant {
		if g.span == 0 {
			continue
		}
		n := s
		n.grant[i] = leaseGrant{}
		n.left = max(n.left, g.left)
		if m.off[LeaseFromTheRequest] {
			n.left = max(n.left, g.span)
		}
		add(act(leaseReceive, int(n.left)), n)
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
	if s.second && s.task && s.left > 0 {
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
			return s.second && s.proof && s.terms[s.epoch].wait > 0
		}},
		{"a leader that was replaced lives while its successor waits", func(s leasesState) bool { return s.epoch == 2 && s.terms[1].confirmed > 0 && s.dead }},
		{"a renewal is shorter than a lease", func(s leasesState) bool { return s.grant[0].span == 1 }},
	}
}

func leasesRun(off Off, z size) Result {
	m := leases{off: off, leaders: 2, length: 2, grants: 1}
	if z == large {
		m.leaders, m.length, m.grants = 3, 5, 2
	}
	return explore(m, z.limit())
}
