package model

// incarnation is the model of a cluster whose coordination loses its data, or is exchanged for another, while storage,
// TaskManagers and perhaps a leader are what they were. Epochs begin at 1 again, and mean nothing to those that saw
// others: so a cluster has an incarnation, which storage keeps too (R16). Data that go back to an earlier state keep their
// incarnation, and an epoch is claimed again: so a TaskManager follows one leader in an epoch.
type incarnation struct {
	off   Off
	wipes int8
	last  int8 // the highest epoch
}

const (
	maxLives  = 3
	elsewhere = 9 // the incarnation of another cluster
)

type incarnationState struct {
	life   int8 // of coordination's data: how often they were lost
	epoch  int8
	inside int8 // the incarnation that coordination keeps; 0: none
	stored int8 // the one that storage keeps
	named  int8 // how many there were
	job    bool // a job was committed
	known  bool // coordination knows it

	leaders [maxLives + 1][maxEpochs + 1]int8 // the incarnation under which the leader of an epoch leads, by life; 0: of the other cluster
	member  int8                              // the incarnation to which the TaskManager belongs; 0: it has not started
	seen    int8
	obeyed  [maxEpochs + 1]int8 // in which life (and one) the leader was whose command it executed, by epoch
	refused bool                // a JobManager refused to start
	broke   string
}

func (m incarnation) start() incarnationState {
	s := incarnationState{life: 1}
	for e := range s.leaders[0] {
		s.leaders[0][e] = elsewhere
	}
	return s
}

const (
	incarnationLead    = "a JobManager claims epoch %d; the incarnation is %d"
	incarnationRefuse  = "a JobManager finds that storage knows incarnation %d and coordination %d, and refuses to lead"
	incarnationJob     = "a job is committed"
	incarnationWipe    = "coordination's data are lost"
	incarnationOther   = "JobManagers are started with the coordination of another cluster"
	incarnationBack    = "coordination is restored to an earlier state, in which epoch %d was in force"
	incarnationMember  = "the TaskManager starts: it belongs to incarnation %d"
	incarnationExecute = "the TaskManager executes a command of epoch %d, from incarnation %d"
)

func (m incarnation) next(s incarnationState, add func(action, incarnationState)) {
	if s.epoch < m.last {
		m.lead(s, add)
	}
	if s.stored != 0 && !s.job && s.leaders[s.life][s.epoch] != 0 {
		n := s
		n.job, n.known = true, true
		add(act(incarnationJob), n)
	}
	if s.life <= m.wipes {
		n := s
		n.life++
		n.epoch, n.inside, n.known = 0, 0, false
		add(act(incarnationWipe), n)
		n.inside = elsewhere
		add(act(incarnationOther), n)
		if s.epoch > 1 {
			n.epoch, n.inside, n.known = s.epoch-1, s.inside, s.known
			add(act(incarnationBack, int(n.epoch)), n)
		}
	}
	if s.member == 0 && s.stored != 0 {
		n := s
		n.member = s.stored
		add(act(incarnationMember, int(s.stored)), n)
	}
	for life := range s.life + 1 {
		for e := int8(1); e <= m.last; e++ {
			m.execute(s, life, e, add)
		}
	}
}

// lead is a claim, and the look at the incarnation that precedes everything else.
func (m incarnation) lead(s incarnationState, add func(action, incarnationState)) {
	n := s
	if s.inside != s.stored && !(m.off[StorageKnowsTheIncarnation] && s.inside == 0) {
		n.refused = true
		add(act(incarnationRefuse, int(s.stored), int(s.inside)), n)
		return
	}
	if s.inside == 0 {
		n.named++
		n.inside, n.stored = n.named, n.named
	}
	n.epoch++
	n.leaders[n.life][n.epoch] = n.inside
	if s.job && !s.known {
		n.broke = "I8: a leader serves, and does not know a job that was committed"
	}
	add(act(incarnationLead, int(n.epoch), int(n.inside)), n)
}

// execute lets the TaskManager obey a leader, of whatever life.
func (m incarnation) execute(s incarnationState, life, e int8, add func(action, incarnationState)) {
	of := s.leaders[life][e]
	if of == 0 || s.member == 0 || e < s.seen || of != s.member && !m.off[MessagesNameTheIncarnation] {
		return
	}
	another := s.obeyed[e] != 0 && s.obeyed[e] != life+1
	if another && !m.off[EpochHasOneLeader] {
		return
	}
	n := s
	n.seen = e
	switch {
	case of != s.member:
		n.broke = "I4: a command of another cluster is executed"
	case another:
		n.broke = "I1: two leaders of one epoch are obeyed"
	}
	n.obeyed[e] = life + 1
	add(act(incarnationExecute, int(e), int(of)), n)
}

func (m incarnation) broken(s incarnationState) string { return s.broke }

func (m incarnation) stuck(incarnationState) string { return "" }

func (m incarnation) twin(s incarnationState) incarnationState { return s }

func (m incarnation) goals() []goal[incarnationState] {
	return []goal[incarnationState]{
		{"a leader is refused after a loss", func(s incarnationState) bool { return s.refused && s.life > 1 }},
		{"a leader that lost coordination is obeyed", func(s incarnationState) bool { return s.life > 1 && s.seen > 0 }},
	}
}

func incarnationRun(off Off, z size) Result {
	m := incarnation{off: off, wipes: 1, last: 2}
	if z == large {
		m.wipes, m.last = 2, 4
	}
	return explore(m, z.limit())
}
