package model

// connections is the model of the data between two subtasks: a producer and a consumer, of each of which several
// attempts may run at once, as zombies do under `run`. They find one another by addresses, which are used
// again: any producer may come to any consumer. A consumer counts each record once (I5).
type connections struct {
	off      Off
	attempts int8
	records  int8
}

type connectionsState struct {
	attempt int8 // the committed one
	// producers have emitted so many records, consumers counted each record so often.
	sent    [maxAttempts + 1]int8
	to      [maxAttempts + 1]int8 // the consumer to which a producer is connected
	counted [maxAttempts + 1][maxRecords]int8
}

func (m connections) start() connectionsState { return connectionsState{attempt: 1} }

const (
	connectRestart = "attempt %d is committed; those before it may run on"
	connectDial    = "the producer of attempt %d connects to the consumer of attempt %d"
	connectSend    = "the producer of attempt %d sends record %d to the consumer of attempt %d"
)

func (m connections) next(s connectionsState, add func(action, connectionsState)) {
	if s.attempt < m.attempts {
		n := s
		n.attempt++
		add(act(connectRestart, int(n.attempt)), n)
	}
	for p := int8(1); p <= s.attempt; p++ {
		for c := int8(1); c <= s.attempt; c++ {
			if s.to[p] == 0 && (p == c || m.off[ConnectionNamesItsEnds]) {
				n := s
				n.to[p] = c
				add(act(connectDial, int(p), int(c)), n)
			}
		}
		if c, r := s.to[p], s.sent[p]; c > 0 && r < m.records {
			n := s
			n.sent[p]++
			n.counted[c][r]++
			add(act(connectSend, int(p), int(r), int(c)), n)
		}
	}
}

func (m connections) broken(s connectionsState) string {
	for c, counts := range s.counted {
		for r, n := range counts {
			if n > 1 {
				return "I5: a consumer counts a record twice"
			}
			if p := int8(c); n == 0 && r < int(s.sent[p]) {
				return "I5: a record of a consumer's producer went to another"
			}
		}
	}
	return ""
}

// stuck is a consumer of the committed attempt that misses records.
func (m connections) stuck(s connectionsState) string {
	if s.sent[s.attempt] < m.records {
		return "L1: the committed attempt does not get its records"
	}
	return ""
}

func (m connections) twin(s connectionsState) connectionsState { return s }

func (m connections) goals() []goal[connectionsState] {
	return []goal[connectionsState]{
		{"all attempts have all records", func(s connectionsState) bool {
			done := true
			for a := int8(1); a <= m.attempts; a++ {
				done = done && s.counted[a][m.records-1] == 1
			}
			return done
		}},
	}
}

func connectionsRun(off Off, z size) Result {
	m := connections{off: off, attempts: 2, records: 2}
	if z == large {
		m.attempts = 3
	}
	return explore(m, z.limit())
}
