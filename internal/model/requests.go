package model

// requests is the model of what clients ask for: two requests with ids, each of which may come to any leader
// any number of times; and one question, whose answer is called current. A request takes effect, or is refused for good
// when there is no room; room may come later. A request that was acknowledged has exactly one effect, for ever (I7).
//
// A leader may have two writes under way for the same request, as when a client asks again over a new connection. The
// writes of a request check that there is no record of it: that is what creating a record is.
type requests struct {
	off    Off
	epochs int8
	writes int // under way at most, for each request
}

const (
	maxRequests = 2
	maxWrites   = 2
)

type requestsState struct {
	epoch     int8
	room      bool
	watermark int8 // ids up to this one are not known any more
	record    [maxRequests + 1]outcome
	effects   [maxRequests + 1]int8
	writes    [maxRequests + 1][maxWrites]requestWrite
	answered  [maxRequests + 1]set8 // outcomes that the client heard

	known    [maxEpochs + 1]int8 // effects that each leader knows of
	begun    [maxEpochs + 1]bool
	server   int8 // the epoch that a coordination server which lags behind shows
	question question
	broke    string
}

type outcome int8

const (
	unheard outcome = iota
	done
	refused
	expired
)

// requestWrite is a conditional write under way. Its epoch is 0 if there is none.
type requestWrite struct {
	epoch   int8
	outcome outcome
	landed  bool
	half    bool // its effect has landed, and its record has not yet: without R9
}

// question is one that a client asks a leader.
type question struct {
	of      int8 // the epoch of that leader; 0: not asked
	least   int8 // effects that were acknowledged before
	checked bool // the epoch was in force after the question came
	over    bool
}

func (m requests) start() requestsState {
	s := requestsState{epoch: 1, server: 1, room: true}
	s.begun[1] = true
	return s
}

const (
	requestTakeover  = "epoch %d is claimed; its leader reads %d effects"
	requestRoom      = "there is room: %d"
	requestSend      = "the leader of epoch %d gets request %d, and sends a write that has it take effect"
	requestRefuse    = "the leader of epoch %d gets request %d, and sends a write that refuses it"
	requestLand      = "a write of epoch %d about request %d lands"
	requestHalf      = "half of a write of epoch %d about request %d lands: the effect, and not the record"
	requestAnswer    = "the client hears what is recorded of request %d"
	requestUnsure    = "the leader of epoch %d does not see its write about request %d, and says that it failed"
	requestUnwritten = "the leader of epoch %d refuses request %d, and records nothing"
	requestExpire    = "the record of request %d expires"
	requestExpired   = "the client hears that request %d is too old"
	requestAsk       = "the leader of epoch %d is asked what there is"
	requestCheck     = "the leader of epoch %d asks the quorum, which confirms its epoch"
	requestLocal     = "the leader of epoch %d asks a server that lags behind, which shows epoch %d"
	requestCatchUp   = "the coordination server that lags behind catches up to epoch %d"
	requestTell      = "the leader of epoch %d answers: %d effects"
)

func (m requests) next(s requestsState, add func(action, requestsState)) {
	if s.epoch < m.epochs {
		n := s
		n.epoch++
		n.begun[n.epoch], n.known[n.epoch] = true, s.effects[1]+s.effects[2]
		add(act(requestTakeover, int(n.epoch), int(n.known[n.epoch])), n)
	}
	n := s
	n.room = !s.room
	add(act(requestRoom, map[bool]int{false: 0, true: 1}[n.room]), n)
	for id := int8(1); id <= maxRequests; id++ {
		for e := int8(1); e <= m.epochs; e++ {
			if s.begun[e] {
				m.receive(s, e, id, add)
			}
		}
		m.land(s, id, add)
		m.tell(s, id, add)
	}
	m.ask(s, add)
}

// receive lets a leader get a request, once more perhaps.
func (m requests) receive(s requestsState, e, id int8, add func(action, requestsState)) {
	if id <= s.watermark && !m.off[ExpiryCommitsAWatermark] {
		n := s
		n.answered[id].put(int8(expired))
		add(act(requestExpired, int(id)), n)
		return
	}
	if s.record[id] != unheard { // answered from the record: see tell
		return
	}
	if m.off[RefusalsAreRecorded] && !s.room {
		n := s
		n.answered[id].put(int8(refused))
		add(act(requestUnwritten, int(e), int(id)), n)
		return
	}
	for k := range m.writes {
		if s.writes[id][k].epoch != 0 {
			continue
		}
		n, text := s, requestSend
		w := &n.writes[id][k]
		*w = requestWrite{epoch: e, outcome: done}
		if !s.room {
			w.outcome, text = refused, requestRefuse
		}
		add(act(text, int(e), int(id)), n)
		return
	}
}

// land lets a write take effect, if what it checks is so. A write that can land no more is no more.
func (m requests) land(s requestsState, id int8, add func(action, requestsState)) {
	for k, w := range s.writes[id] {
		absent := s.record[id] == unheard && (id > s.watermark || m.off[ExpiryCommitsAWatermark])
		if w.epoch != s.epoch || w.landed || !absent && !m.off[RecordIsCreated] {
			continue
		}
		n := s
		if w.outcome == done && !w.half {
			n.effects[id]++
			n.known[w.epoch]++
			if m.off[OneTransaction] {
				half := n
				half.writes[id][k].half = true
				add(act(requestHalf, int(w.epoch), int(id)), half)
			}
		}
		n.record[id], n.writes[id][k].landed = w.outcome, true
		add(act(requestLand, int(w.epoch), int(id)), n)
	}
}

// tell lets the client hear an outcome.
func (m requests) tell(s requestsState, id int8, add func(action, requestsState)) {
	if r := s.record[id]; r != unheard {
		n := s
		n.answered[id].put(int8(r))
		add(act(requestAnswer, int(id)), n)
		n = s
		n.record[id] = unheard
		for k := range n.writes[id] {
			if n.writes[id][k].landed { // others may land yet
				n.writes[id][k] = requestWrite{}
			}
		}
		if !m.off[ExpiryCommitsAWatermark] {
			n.watermark = max(n.watermark, id)
		}
		add(act(requestExpire, int(id)), n)
	}
	for _, w := range s.writes[id] {
		if m.off[SaidOnlyWhenKnown] && w.epoch != 0 && !w.landed {
			n := s
			n.answered[id].put(int8(refused))
			add(act(requestUnsure, int(w.epoch), int(id)), n)
		}
	}
}

// ask is the life of a question.
func (m requests) ask(s requestsState, add func(action, requestsState)) {
	q := s.question
	n := s
	switch {
	case q.of == 0:
		for e := int8(1); e <= s.epoch; e++ {
			n.question = question{of: e}
			for id := range s.answered {
				if s.answered[id].has(int8(done)) {
					n.question.least++
				}
			}
			add(act(requestAsk, int(e)), n)
			n.question.least = 0
		}
	case q.over:
	case q.checked || m.off[CurrentFollowsACheck]:
		n.question.over = true
		if s.known[q.of] < q.least {
			n.broke = "I7: an effect that was acknowledged is missing in an answer called current"
		}
		add(act(requestTell, int(q.of), int(s.known[q.of])), n)
	case q.of == s.epoch:
		n.question.checked = true
		add(act(requestCheck, int(q.of)), n)
	case q.of == s.server && m.off[AskTheQuorum]:
		n.question.checked = true
		add(act(requestLocal, int(q.of), int(s.server)), n)
	}
	if s.server < s.epoch && m.off[AskTheQuorum] {
		n := s
		n.server++
		add(act(requestCatchUp, int(n.server)), n)
	}
}

func (m requests) broken(s requestsState) string {
	for id, heard := range s.answered {
		switch {
		case s.effects[id] > 1:
			return "I7: a request had two effects"
		case heard.has(int8(done)) && s.effects[id] == 0:
			return "I7: a request that was acknowledged had no effect"
		case heard.has(int8(refused)) && s.effects[id] > 0:
			return "I7: a request that was refused had an effect"
		}
	}
	return s.broke
}

func (m requests) stuck(requestsState) string { return "" }

// twin has the writes of the first request exchanged.
func (m requests) twin(s requestsState) requestsState {
	s.writes[1][0], s.writes[1][1] = s.writes[1][1], s.writes[1][0]
	return s
}

func (m requests) goals() []goal[requestsState] {
	return []goal[requestsState]{
		{"one request takes effect, and one is refused", func(s requestsState) bool {
			return s.answered[1].has(int8(done)) && s.answered[2].has(int8(refused))
		}},
		{"a request that took effect is too old when it comes again", func(s requestsState) bool {
			return s.answered[1].has(int8(done)) && s.answered[1].has(int8(expired))
		}},
		{"a question is answered", func(s requestsState) bool { return s.question.over }},
		{"a write of a leader that was replaced is under way", func(s requestsState) bool {
			return s.writes[1][0].epoch == 1 && !s.writes[1][0].landed && s.epoch == 2
		}},
	}
}

func requestsRun(off Off, z size) Result {
	m := requests{off: off, epochs: 2, writes: 2}
	if z == large {
		m.epochs = 3
	}
	return explore(m, z.limit())
}
