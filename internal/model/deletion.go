package model

// deletion is the model of the files of checkpoints: each checkpoint has files of its own, and may refer to
// those of its base instead of writing them again. Leaders collect what is of no use, each by what it has read, one
// that was replaced too, at any time. Nothing that is reachable from metadata is deleted (I8).
//
// Collecting is no action: what leaders that follow R13 may delete is a set that only grows. One that does not
// follow it deletes, as an action, whatever it holds for garbage by what it knows.
type deletion struct {
	off      Off
	epochs   int8
	ids      int8
	retained int // completed checkpoints that are kept
}

// checkpointFiles is a set of files, by the checkpoint that wrote them.
type checkpointFiles = set8

const maxFiles = 4

type deletionState struct {
	epoch int8
	now   deletionIntent
	known [maxEpochs + 1]deletionIntent // by each leader
	base  [maxFiles + 1]int8            // named by the trigger of each checkpoint
	// told is the newest checkpoint that the attempt knows to be completed; taken the newest that it took.
	told, taken int8
	files       [maxFiles + 1]checkpointFiles // to which each acknowledged checkpoint refers
	acked       checkpointFiles
	garbage     checkpointFiles // that some leader may delete
	deleted     checkpointFiles
	broke       string
}

// deletionIntent is what is committed.
type deletionIntent struct {
	reserved, open int8
	kept           [maxRetained]int8 // the completed checkpoints that are retained, the newest first
	refers         checkpointFiles   // what they refer to
}

const maxRetained = 2

func (in deletionIntent) pointer() int8 { return in.kept[0] }

func (m deletion) start() deletionState { return deletionState{epoch: 1} }

const (
	deleteTakeover = "epoch %d is claimed; its leader reads that checkpoint %d is the newest"
	deleteReserve  = "checkpoint %d is reserved, with base %d"
	deleteTake     = "the attempt takes checkpoint %d, which refers to files of %d"
	deleteFull     = "the attempt takes checkpoint %d, which refers to its own files alone"
	deleteComplete = "checkpoint %d is completed, and what it does not refer to is dead"
	deleteAbort    = "checkpoint %d is aborted"
	deleteStrike   = "checkpoint %d is found damaged: the job goes back to %d"
	deleteHear     = "the attempt hears that checkpoint %d is completed"
	deleteFiles    = "the leader of epoch %d deletes the files of checkpoint %d"
)

func (m deletion) next(s deletionState, add func(action, deletionState)) {
	if s.epoch < m.epochs {
		n := s
		n.epoch++
		n.known[n.epoch] = s.now
		add(act(deleteTakeover, int(n.epoch), int(s.now.pointer())), n)
	}
	m.decide(s, add)
	m.take(s, add)
	if s.now.pointer() > s.told {
		n := s
		n.told = s.now.pointer()
		add(act(deleteHear, int(n.told)), n)
	}
	for e := int8(1); e <= s.epoch; e++ {
		for id := int8(1); id <= m.ids; id++ {
			if m.collects(s, e, id) {
				n := s
				n.deleted.put(id)
				add(act(deleteFiles, int(e), int(id)), n)
			}
		}
	}
}

// decide is what the leader in force commits.
func (m deletion) decide(s deletionState, add func(action, deletionState)) {
	in := s.now
	if in.kept[1] != 0 {
		n := s
		n.now.kept, n.now.open = [maxRetained]int8{in.kept[1]}, 0
		m.commit(&n)
		add(act(deleteStrike, int(in.kept[0]), int(in.kept[1])), n)
	}
	switch {
	case in.open == 0 && in.reserved < m.ids:
		n := s
		n.now.reserved++
		n.now.open = n.now.reserved
		n.base[n.now.open] = in.pointer()
		m.commit(&n)
		add(act(deleteReserve, int(n.now.open), int(in.pointer())), n)
	case in.open != 0:
		n := s
		n.now.open = 0
		m.commit(&n)
		add(act(deleteAbort, int(in.open)), n)
		if s.acked.has(in.open) {
			n := s
			n.now.open = 0
			n.now.kept = [maxRetained]int8{in.open}
			if m.retained > 1 {
				n.now.kept[1] = in.pointer()
			}
			m.commit(&n)
			add(act(deleteComplete, int(in.open)), n)
		}
	}
}

// commit makes what is decided known to its leader, and what it makes garbage with it.
func (m deletion) commit(s *deletionState) {
	s.now.refers = s.files[s.now.kept[0]] | s.files[s.now.kept[1]]
	s.known[s.epoch] = s.now
	for id := int8(1); id <= s.now.reserved; id++ {
		if id != s.now.open && !s.now.refers.has(id) {
			s.garbage.put(id)
		}
	}
}

// collects reports whether a leader may delete the files of a checkpoint.
func (m deletion) collects(s deletionState, e, id int8) bool {
	in := s.known[e]
	switch {
	case s.deleted.has(id) || !s.acked.has(id):
		return false
	case m.off[OnlyTheClosedIsGarbage]: // whatever is there and not retained
		return id != in.open && !in.refers.has(id)
	case m.off[DeadBeforeDeleted]: // what will be dead once the open checkpoint is completed
		return s.garbage.has(id) || e == s.epoch && s.acked.has(in.open) && !s.files[in.open].has(id)
	case m.off[ReferencesAreRetained]:
		return s.garbage.has(id) || id < in.pointer()
	}
	return s.garbage.has(id)
}

// take is the attempt's part. Without a named base it builds on the newest checkpoint that it took or, as it
// has heard, was completed: whichever that is.
func (m deletion) take(s deletionState, add func(action, deletionState)) {
	for id := s.taken + 1; id <= s.now.reserved; id++ {
		n := s
		n.taken = id
		n.acked.put(id)
		n.files[id] = 1 << id
		add(act(deleteFull, int(id)), n)
		bases := []int8{s.base[id]}
		if m.off[TriggerNamesTheBase] {
			bases = append(bases, s.told, s.taken)
		}
		for _, b := range bases {
			if s.acked.has(b) {
				n := n
				n.files[id] |= s.files[b]
				add(act(deleteTake, int(id), int(b)), n)
			}
		}
	}
}

func (m deletion) broken(s deletionState) string {
	if s.now.refers&s.deleted != 0 {
		return "I8: a file is deleted to which a retained checkpoint refers"
	}
	return s.broke
}

func (m deletion) stuck(deletionState) string { return "" }

func (m deletion) twin(s deletionState) deletionState { return s }

func (m deletion) goals() []goal[deletionState] {
	return []goal[deletionState]{
		{"the newest checkpoint refers to two others", func(s deletionState) bool { return s.now.refers == 1<<1|1<<2|1<<3 }},
		{"files are deleted by a leader that was replaced", func(s deletionState) bool {
			return s.epoch == 2 && s.deleted != 0 && s.known[2].pointer() == 0
		}},
	}
}

func deletionRun(off Off, z size) Result {
	m := deletion{off: off, epochs: 2, ids: 3, retained: 2}
	switch {
	case z == large:
		m.epochs, m.ids = 3, 4
	case off != Off{}: // the fewer are kept, the sooner one is missed
		m.retained = 1
	}
	return explore(m, z.limit())
}
