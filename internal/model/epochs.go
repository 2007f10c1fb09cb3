package model

// epochs is the model of leadership: processes that claim epochs, and write and command under them. One
// piece of metadata holds the newest id that was reserved, one TaskManager executes what a leader
// commands with such an id. Any reply may be lost, any write may land late, any leader may be suspected wrongly,
// pause and wake again, or be killed.
type epochs struct {
	off        Off
	candidates int
	last       int8 // the highest epoch
	ids        int8 // how many are reserved at most
}

const (
	maxCandidates = 3
	maxEpochs     = 4
	maxIDs        = 3
)

type epochsState struct {
	epoch, owner, try int8 // the record: who claimed it, with which nonce (a claimant's try)
	claimed           [maxEpochs + 1]bool
	id, version       int8 // the metadata
	reserved          [maxIDs + 1]bool
	candidates        [maxCandidates]candidate
	writes            [maxEpochs + 1][2]write // of each epoch: a decision, and the one made anew
	seen              int8                    // by the TaskManager
	executed          [maxIDs + 1]command
	broke             string
}

// candidate is one JobManager.
type candidate struct {
	mode   mode
	unsure bool // the reply to its claim was lost
	sent   bool // its claim may still land
	landed bool // it has: a reply may come
	over   int8 // which epoch it claims over
	try    int8
	epoch  int8 // that it leads, or believes to
	id     int8 // the metadata as it knows them
	known  int8
	base   int8 // the version of the metadata when its claim landed
}

type mode int8

const (
	standsBy mode = iota
	claims
	hasClaimed // and is to read what is committed
	leads
	killed
)

// write is a conditional write, under way or landed.
type write struct {
	sent, landed bool
	failed       bool // its author told somebody that it did not happen
	id, from     int8
	version      int8 // that it made
}

type command struct{ epoch, slot int8 }

func (m epochs) start() epochsState {
	s := epochsState{owner: -1}
	for i := m.candidates; i < maxCandidates; i++ {
		s.candidates[i].mode = killed
	}
	return s
}

const (
	epochSend       = "JobManager %d sends a claim of epoch %d"
	epochLand       = "JobManager %d's claim of epoch %d lands"
	epochReply      = "JobManager %d hears that epoch %d is its own"
	epochRefused    = "JobManager %d hears that its claim came too late"
	epochLost       = "JobManager %d loses the connection over which it claimed"
	epochMine       = "JobManager %d reads back its own nonce: epoch %d is its own"
	epochNotSeen    = "JobManager %d reads back, does not see its nonce, and takes its claim for failed"
	epochRead       = "JobManager %d reads what is committed: id %d"
	epochOldRead    = "JobManager %d leads with what it had read before it claimed: id %d"
	epochRetire     = "JobManager %d learns of a newer epoch"
	epochKill       = "JobManager %d is killed"
	epochDecide     = "the leader of epoch %d sends a write that reserves id %d"
	epochAnew       = "the leader of epoch %d loses the reply, reads back id %d, and decides anew"
	epochFailed     = "the leader of epoch %d loses the reply, reads back id %d, and says that the write failed"
	epochWriteLands = "a write of epoch %d lands: id %d is reserved"
	epochLearn      = "the leader of epoch %d learns that id %d is reserved"
	epochExecute    = "the TaskManager executes a command of epoch %d with id %d"
)

func (m epochs) next(s epochsState, add func(action, epochsState)) {
	for i := range m.candidates {
		switch s.candidates[i].mode {
		case standsBy:
			m.standBy(s, i, add)
		case claims:
			m.claim(s, i, add)
		case hasClaimed:
			n := s
			c := &n.candidates[i]
			c.mode, c.id, c.known = leads, s.id, s.version
			add(act(epochRead, i, int(s.id)), n)
		case leads:
			m.lead(s, i, add)
		}
		m.end(s, i, add)
	}
	m.land(s, add)
	m.execute(s, add)
}

// standBy suspects the leader, rightly or not, and claims the epoch after. The nonce is new.
func (m epochs) standBy(s epochsState, i int, add func(action, epochsState)) {
	if s.epoch == m.last || s.owner == int8(i) {
		return
	}
	n := s
	c := &n.candidates[i]
	c.mode, c.over, c.sent, c.landed, c.unsure = claims, s.epoch, true, false, false
	c.try++
	c.id, c.known = s.id, s.version
	add(act(epochSend, i, int(s.epoch)+1), n)
}

// claim waits for the outcome of a claim.
func (m epochs) claim(s epochsState, i int, add func(action, epochsState)) {
	c := s.candidates[i]
	mine := s.owner == int8(i) && s.try == c.try
	if !c.unsure {
		if c.landed {
			m.won(s, i, epochReply, add)
		}
		n := s
		n.candidates[i].unsure = true
		add(act(epochLost, i), n)
	} else if mine {
		m.won(s, i, epochMine, add)
	}
	if s.epoch != c.over && !mine {
		n := s
		n.candidates[i].mode, n.candidates[i].sent = standsBy, c.sent && m.off[TakeoverChecksTheEpoch]
		add(act(epochRefused, i), n)
	}
	if c.unsure && !mine && s.epoch == c.over && m.off[ClaimNotSeenIsNotFailed] {
		n := s
		n.candidates[i].mode = standsBy
		add(act(epochNotSeen, i), n)
	}
}

// won makes a claimant the leader that it is, or was.
func (m epochs) won(s epochsState, i int, how string, add func(action, epochsState)) {
	c := &s.candidates[i]
	c.mode, c.epoch, c.unsure = hasClaimed, c.over+1, false
	if !m.off[ClaimThenRead] {
		add(act(how, i, int(c.epoch)), s)
		return
	}
	if c.mode = leads; c.known < c.base {
		s.broke = "I10: what was read at the takeover is older than the claim"
	}
	add(act(epochOldRead, i, int(c.id)), s)
}

// lead writes and learns.
func (m epochs) lead(s epochsState, i int, add func(action, epochsState)) {
	c := s.candidates[i]
	first, second := s.writes[c.epoch][0], s.writes[c.epoch][1]
	if !first.sent && c.id < m.ids {
		n := s
		n.writes[c.epoch][0] = write{sent: true, id: c.id + 1, from: c.known}
		add(act(epochDecide, int(c.epoch), int(c.id)+1), n)
	}
	for slot := range s.writes[c.epoch] {
		if w := s.writes[c.epoch][slot]; w.landed && w.version > c.known {
			n := s
			n.candidates[i].id, n.candidates[i].known = w.id, w.version
			add(act(epochLearn, int(c.epoch), int(w.id)), n)
		}
	}
	if first.sent && !first.landed && !second.sent && s.epoch == c.epoch {
		n := s
		n.writes[c.epoch][1] = write{sent: true, id: s.id + 1, from: s.version}
		add(act(epochAnew, int(c.epoch), int(s.id)), n)
		if m.off[WriteNotSeenIsNotFailed] {
			n.writes[c.epoch][0].failed = true
			add(act(epochFailed, int(c.epoch), int(s.id)), n)
		}
	}
}

// end is how a JobManager ceases to lead.
func (m epochs) end(s epochsState, i int, add func(action, epochsState)) {
	c := s.candidates[i]
	if (c.mode == leads || c.mode == hasClaimed) && s.epoch > c.epoch {
		n := s
		n.candidates[i] = candidate{try: c.try}
		add(act(epochRetire, i), n)
	}
	if c.mode != killed && m.alive(s) > 1 {
		n := s
		n.candidates[i].mode = killed // its claim may still land
		add(act(epochKill, i), n)
	}
}

func (m epochs) alive(s epochsState) (n int) {
	for _, c := range s.candidates {
		if c.mode != killed {
			n++
		}
	}
	return n
}

// land lets what is under way take effect.
func (m epochs) land(s epochsState, add func(action, epochsState)) {
	for i, c := range s.candidates {
		if c.sent && (s.epoch == c.over || m.off[TakeoverChecksTheEpoch]) {
			n := s
			n.epoch, n.owner, n.try = c.over+1, int8(i), c.try
			n.candidates[i].sent, n.candidates[i].landed, n.candidates[i].base = false, true, s.version
			if n.claimed[n.epoch] {
				n.broke = "I1: an epoch was claimed twice"
			}
			n.claimed[n.epoch] = true
			add(act(epochLand, i, int(n.epoch)), n)
		}
	}
	for e := int8(1); e <= m.last; e++ {
		for slot := range s.writes[e] {
			m.landWrite(s, e, slot, add)
		}
	}
}

func (m epochs) landWrite(s epochsState, e int8, slot int, add func(action, epochsState)) {
	w := s.writes[e][slot]
	inForce, unchanged := e == s.epoch || m.off[WriteChecksTheEpoch], w.from == s.version || m.off[WriteChecksVersions]
	if !w.sent || w.landed || !inForce || !unchanged || w.id > m.ids {
		return
	}
	n := s
	n.version++
	n.id = w.id
	switch {
	case e != s.epoch:
		n.broke = "I2: a write of an epoch that is not in force was committed"
	case s.reserved[w.id]:
		n.broke = "I8: an id was reserved twice"
	case w.failed:
		n.broke = "I7: a write has an effect after it was said to have failed"
	}
	n.reserved[w.id] = true
	n.writes[e][slot].landed, n.writes[e][slot].version = true, n.version
	add(act(epochWriteLands, int(e), int(w.id)), n)
}

// execute is the TaskManager. What a leader may have sent is what it knows to be committed; without R3 it is what
// it has decided.
func (m epochs) execute(s epochsState, add func(action, epochsState)) {
	for e := int8(1); e <= m.last; e++ {
		for slot, w := range s.writes[e] {
			sendable := w.landed && m.learned(s, e, w) || w.sent && m.off[WriteAhead]
			if done := s.executed[w.id]; !sendable || done == (command{e, int8(slot)}) && e >= s.seen || e < s.seen && !m.off[LowerEpochsAreRefused] {
				continue
			}
			n := s
			switch {
			case e < s.seen:
				n.broke = "I4: a command of a lower epoch than the highest seen was executed"
			case s.executed[w.id] != command{}:
				n.broke = "I5: two commands were given one id"
			}
			n.seen, n.executed[w.id] = max(s.seen, e), command{e, int8(slot)}
			add(act(epochExecute, int(e), int(w.id)), n)
		}
	}
}

// learned reports whether the author of a write knows that it landed. One that has retired is not remembered here:
// what it sent may arrive before it retires, which no TaskManager can tell from after.
func (m epochs) learned(s epochsState, e int8, w write) bool {
	for _, c := range s.candidates {
		if c.epoch == e && c.known >= w.version {
			return true
		}
	}
	return false
}

func (m epochs) broken(s epochsState) string { return s.broke }

// stuck is L1: somebody leads the epoch in force.
func (m epochs) stuck(s epochsState) string {
	for _, c := range s.candidates {
		if c.mode == leads && c.epoch == s.epoch {
			return ""
		}
	}
	if s.epoch == m.last { // beyond it nobody may claim here
		return ""
	}
	return "L1: nobody leads, and nobody will"
}

func (m epochs) twin(s epochsState) epochsState {
	s.candidates[0], s.candidates[1] = s.candidates[1], s.candidates[0]
	if s.owner == 0 || s.owner == 1 {
		s.owner = 1 - s.owner
	}
	return s
}

func (m epochs) goals() []goal[epochsState] {
	return []goal[epochsState]{
		{"the last epoch is led, after all before it were claimed", func(s epochsState) bool {
			for _, c := range s.candidates {
				if c.mode == leads && c.epoch == m.last {
					return true
				}
			}
			return false
		}},
		{"every id is reserved and executed", func(s epochsState) bool { return s.executed[m.ids] != command{} }},
		{"a zombie leads beside its successor", func(s epochsState) bool {
			return s.candidates[0].mode == leads && s.candidates[1].mode == leads
		}},
		{"a claim landed whose claimant was killed", func(s epochsState) bool {
			return s.owner >= 0 && s.candidates[s.owner].mode == killed && s.candidates[s.owner].epoch < s.epoch
		}},
	}
}

func epochsRun(off Off, z size) Result {
	m := epochs{off: off, candidates: 2, last: 2, ids: 2}
	if z == small {
		return explore(m, z.limit())
	}
	long, wide := m, m
	long.last, long.ids = 4, 3
	wide.candidates = 3
	return join(explore(long, z.limit()), explore(wide, z.limit()))
}
