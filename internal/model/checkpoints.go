package model

import "math/bits"

// checkpoints is the model of checkpoints and of what becomes visible: a job of two subtasks, each of which reads
// records and puts each out again. An output is visible once, whoever makes it so, and none is lost (I5).
//
// Each subtask is a region: they restart together, or one alone, under an attempt that is the job's next (decision 0011). An attempt may
// be superseded at any time, and its task processes may run on for ever, the policy being `run`, or not: one that
// died is one that takes no further step, so death is no action. With
// transactional sinks the attempts make their output visible, once they hear that a checkpoint that names it is
// completed; with sinks that write files the leaders do. Commits are atomic, as epochs shows, and what follows from
// a commit may be said at any time from then on, by any leader.
type checkpoints struct {
	off      Off
	files    bool // leaders rename files; else attempts commit transactions
	attempts int8
	ids      int8
	records  int8 // that each subtask reads
}

const (
	subtasks    = 2
	maxAttempts = 3
	maxRecords  = 2
)

// outputs is a set of outputs of one subtask, each the copy that an attempt wrote of a record.
type outputs uint8

func copyOf(a, record int8) outputs { return 1 << ((a-1)*maxRecords + record) }

// below are the copies that attempts before a wrote.
func below(a int8) outputs { return 1<<((a-1)*maxRecords) - 1 }

// copies are all copies of a record.
func copies(record int8) (set outputs) {
	for a := int8(1); a <= maxAttempts; a++ {
		set |= copyOf(a, record)
	}
	return set
}

type checkpointsState struct {
	attempt  [subtasks]int8 // the committed intent
	newest   int8           // attempt of any
	open     int8
	reserved int8
	pointer  int8
	ended    bool
	// from are the checkpoints that a deploy may say an attempt starts from: what the intent says when it is sent.
	from [maxAttempts + 1][subtasks]set8

	completed set8 // ids
	manifests [maxIDs + 1][subtasks]contribution
	last      [subtasks]outputs // what the committed end of the job names

	tasks [maxAttempts + 1][subtasks]task
	acks  [maxIDs + 1][maxAttempts + 1][subtasks]contribution
	// what may be said to which parts, by id
	triggers, completions, aborts, published [maxIDs + 1]partsSet

	written, visible, deleted [subtasks]outputs
	broke                     string
}

// partsSet is a set of subtasks under an attempt, which is what messages name.
type partsSet uint8

func partOf(a int8, i int) partsSet { return 1 << (4*int8(i) + a) }

// contribution is what a subtask adds to a checkpoint.
type contribution struct {
	there bool
	read  int8    // records
	names outputs // what becomes visible with it, and is not known to be
}

// task is a subtask of an attempt.
type task struct {
	phase    taskPhase
	read     int8
	prepared int8 // of what it read
	taken    int8 // the newest checkpoint that it took part in
	pending  outputs
	since    [maxRecords]int8 // the first checkpoint that names its copy
}

type taskPhase int8

const (
	notStarted taskPhase = iota
	reads
	finished
)

func (m checkpoints) start() checkpointsState {
	s := checkpointsState{}
	m.commitAttempt(&s, both)
	return s
}

// both says which subtasks: bit i is for subtask i.
const both = 1<<subtasks - 1

const (
	ckRestart    = "attempt %d is committed, of both subtasks, from checkpoint %d"
	ckRestartOne = "attempt %d is committed, of subtask %d alone, from checkpoint %d"
	ckReserve    = "checkpoint %d of attempts %d and %d is reserved"
	ckComplete   = "checkpoint %d is completed, of attempts %d and %d"
	ckLate       = "the completion of checkpoint %d, of attempts %d and %d, lands late"
	ckEarly      = "a leader says that checkpoint %d of attempts %d and %d is completed, and has not committed it"
	ckAbort      = "checkpoint %d is aborted"
	ckEnd        = "the end of the job is committed"
	ckStart      = "subtask %d of attempt %d starts from checkpoint %d"
	ckRead       = "subtask %d of attempt %d puts out record %d"
	ckFinish     = "subtask %d of attempt %d finishes"
	ckTake       = "subtask %d of attempt %d takes and acknowledges checkpoint %d"
	ckCommit     = "subtask %d of attempt %d hears that checkpoint %d is completed, and makes visible what it has waiting"
	ckInherit    = "subtask %d of attempt %d makes visible what it inherited"
	ckDrop       = "subtask %d of attempt %d hears that checkpoint %d is aborted, and throws away what it had for it"
	ckRename     = "a leader makes visible what checkpoint %d names"
	ckRenameLast = "a leader makes visible what the end of the job names"
	ckForget     = "subtask %d of attempt %d hears that what checkpoint %d names is visible"
)

func (m checkpoints) next(s checkpointsState, each func(action, checkpointsState)) {
	add := func(a action, to checkpointsState) { each(a, m.forget(to)) }
	m.decide(s, add)
	for a := int8(1); a <= s.newest; a++ {
		for i := range subtasks {
			if s.from[a][i] != 0 {
				m.run(s, a, i, add)
				m.hear(s, a, i, add)
			}
		}
	}
	if m.files {
		m.rename(s, add)
	}
}

// forget drops what nobody asks for any more while every rule is on: acknowledgements of closed checkpoints and of attempts that
// were superseded, and aborts.
func (m checkpoints) forget(s checkpointsState) checkpointsState {
	if m.off != (Off{}) {
		return s
	}
	s.aborts = [maxIDs + 1]partsSet{}
	for id := range s.acks {
		for a := range s.acks[id] {
			for i := range subtasks {
				if int8(id) != s.open || int8(a) != s.attempt[i] {
					s.acks[id][a][i] = contribution{}
				}
			}
		}
	}
	return s
}

// decide commits the next step.
func (m checkpoints) decide(s checkpointsState, add func(action, checkpointsState)) {
	m.late(s, add)
	if s.ended {
		return
	}
	visible := m.unpublished(s) == [subtasks]outputs{}
	if s.newest < m.attempts && visible {
		m.restart(s, add)
	}
	if s.open != 0 {
		n := s
		n.open = 0
		n.aborts[s.open] |= m.present(s)
		add(act(ckAbort, int(s.open)), n)
		m.complete(s, add)
	}
	tasks := [subtasks]task{s.tasks[s.attempt[0]][0], s.tasks[s.attempt[1]][1]}
	up := func(t task) bool { return t.phase == reads || t.phase == finished }
	if s.open == 0 && s.reserved < m.ids && up(tasks[0]) && up(tasks[1]) && visible {
		n := s
		n.reserved++
		n.open = n.reserved
		n.triggers[n.open] = m.present(s)
		add(act(ckReserve, int(n.open), int(s.attempt[0]), int(s.attempt[1])), n)
	}
	settled := m.files || tasks[0].pending|tasks[1].pending == 0
	if tasks[0].phase == finished && tasks[1].phase == finished && settled {
		n := s
		n.open, n.ended = 0, true
		n.last = [subtasks]outputs{tasks[0].pending, tasks[1].pending}
		add(act(ckEnd), n)
	}
}

// unpublished is what leaders have to make visible before they go on.
func (m checkpoints) unpublished(s checkpointsState) (left [subtasks]outputs) {
	for i := range subtasks {
		if m.files {
			left[i] = s.manifests[s.pointer][i].names &^ s.visible[i]
		}
	}
	return left
}

// present are the committed attempts of the subtasks.
func (m checkpoints) present(s checkpointsState) partsSet {
	return partOf(s.attempt[0], 0) | partOf(s.attempt[1], 1)
}

// restart commits the next attempt, of any of the subtasks.
func (m checkpoints) restart(s checkpointsState, add func(action, checkpointsState)) {
	for which := 1; which <= both; which++ {
		n := s
		m.commitAttempt(&n, which)
		if which == both {
			add(act(ckRestart, int(n.newest), int(s.pointer)), n)
		} else {
			add(act(ckRestartOne, int(n.newest), which-1, int(s.pointer)), n)
		}
	}
}

// commitAttempt is one write, which closes the open checkpoint and names what is restored (R4). There is one such name for all
// subtasks: one that was not deployed yet under its older attempt starts from there too.
func (m checkpoints) commitAttempt(s *checkpointsState, which int) {
	s.newest++
	if !m.off[RestartClosesTheCheckpoint] {
		s.open = 0
	}
	for i := range subtasks {
		if which&(1<<i) != 0 {
			s.attempt[i] = s.newest
		}
		s.from[s.attempt[i]][i].put(s.pointer)
	}
}

// complete commits a checkpoint once all acknowledgements are there: of the committed attempt (R5), or of any.
func (m checkpoints) complete(s checkpointsState, add func(action, checkpointsState)) {
	for a := int8(1); a <= s.newest; a++ {
		for b := int8(1); b <= s.newest; b++ {
			of, named := [subtasks]int8{a, b}, partOf(a, 0)|partOf(b, 1)
			triggered := s.triggers[s.open]&named == named
			if of == s.attempt || triggered && m.off[RestartClosesTheCheckpoint] || m.off[MessagesNameTheAttempt] {
				m.completed(s, s.open, of, ckComplete, add)
			}
		}
	}
}

// late lets the completion of a checkpoint that was closed since land, if nothing checks what it was decided from (R1).
func (m checkpoints) late(s checkpointsState, add func(action, checkpointsState)) {
	for id := int8(1); id <= s.reserved && m.off[CompletionChecksVersions]; id++ {
		for a := int8(1); a <= s.newest; a++ {
			if id != s.open && !s.completed.has(id) {
				m.completed(s, id, [subtasks]int8{a, a}, ckLate, add)
			}
		}
	}
}

func (m checkpoints) completed(s checkpointsState, id int8, of [subtasks]int8, how string, add func(action, checkpointsState)) {
	n := s
	for i, a := range of {
		if !s.acks[id][a][i].there {
			return
		}
		n.manifests[id][i] = s.acks[id][a][i]
	}
	if m.off[CompletionAfterCommit] {
		early := s
		early.completions[id] |= m.present(s)
		for i := range subtasks {
			if m.files {
				m.show(&early, i, n.manifests[id][i].names)
			}
		}
		add(act(ckEarly, int(id), int(of[0]), int(of[1])), early)
	}
	if id < s.pointer {
		n.broke = "I8: the pointer to the newest completed checkpoint went back"
	}
	n.pointer, n.open = id, 0
	n.completed.put(id)
	n.completions[id] |= m.present(s)
	add(act(how, int(id), int(of[0]), int(of[1])), n)
}

// run is what a subtask does by itself.
func (m checkpoints) run(s checkpointsState, a int8, i int, add func(action, checkpointsState)) {
	t := s.tasks[a][i]
	n := s
	nt := &n.tasks[a][i]
	switch t.phase {
	case notStarted:
		for id := int8(0); id <= s.pointer; id++ {
			if s.from[a][i].has(id) || m.off[RestartNamesThePointer] && (id == 0 || s.completed.has(id)) {
				m.begin(s, a, i, id, add)
			}
		}
	case reads:
		if t.read < m.records {
			nt.read++
			n.written[i] |= copyOf(a, t.read)
			add(act(ckRead, i, int(a), int(t.read)), n)
			break
		}
		nt.phase = finished
		m.prepare(nt, a, t.taken+1)
		if m.off[FinishedPublishesNothing] {
			n.visible[i] |= nt.pending
		}
		add(act(ckFinish, i, int(a)), n)
	}
}

// begin starts a subtask from a checkpoint. It names again what that names, and clears what else lower
// attempts left (R13).
func (m checkpoints) begin(s checkpointsState, a int8, i int, from int8, add func(action, checkpointsState)) {
	c := s.manifests[from][i]
	t := task{phase: reads, read: c.read, prepared: c.read, taken: from, pending: c.names}
	spared := c.names
	if m.off[InheritedIsNamedAgain] {
		t.pending = 0
	}
	if m.off[InheritedIsSpared] {
		spared = 0
	}
	s.tasks[a][i] = t
	s.deleted[i] |= below(a) & s.written[i] &^ spared &^ s.visible[i]
	add(act(ckStart, i, int(a), int(from)), s)
}

// prepare makes what was put out ready to become visible. The first checkpoint to name it is since.
func (m checkpoints) prepare(t *task, a, since int8) {
	for ; t.prepared < t.read; t.prepared++ {
		t.pending |= copyOf(a, t.prepared)
		t.since[t.prepared] = since
	}
}

// hear lets a subtask receive any message.
func (m checkpoints) hear(s checkpointsState, a int8, i int, add func(action, checkpointsState)) {
	t := s.tasks[a][i]
	if t.phase != reads && t.phase != finished {
		return
	}
	for id := int8(1); id <= s.reserved; id++ {
		again := id > t.taken || m.off[CheckpointIsTakenOnce] && id == t.taken && t.prepared < t.read
		if again && m.reaches(s.triggers[id], a, i, MessagesNameTheAttempt) {
			m.take(s, a, i, id, add)
		}
		if m.reaches(s.completions[id], a, i, CompletionsNameTheAttempt) && !m.files {
			m.commit(s, a, i, id, add)
		}
		if s.published[id]&partOf(a, i) != 0 {
			n := s
			n.tasks[a][i].pending &^= m.due(t, a, id)
			add(act(ckForget, i, int(a), int(id)), n)
		}
		if m.off[AcknowledgedIsKept] && s.aborts[id]&partOf(a, i) != 0 {
			n := s
			dropped := m.due(t, a, id) &^ m.due(t, a, id-1)
			n.tasks[a][i].pending &^= dropped
			n.deleted[i] |= dropped
			add(act(ckDrop, i, int(a), int(id)), n)
		}
	}
	if !m.files && t.pending&below(a) != 0 { // what a restored attempt inherits was named by a completed checkpoint
		n := s
		n.tasks[a][i].pending &^= below(a)
		m.show(&n, i, t.pending&below(a))
		add(act(ckInherit, i, int(a)), n)
	}
}

// reaches reports whether a message to some parts is taken for one to this.
func (m checkpoints) reaches(to partsSet, a int8, i int, rule Switch) bool {
	mine := partOf(a, i)
	if m.off[MessagesNameTheRegion] {
		mine = partOf(a, 0) | partOf(a, 1)
	}
	return to&mine != 0 || m.off[rule] && to != 0
}

func (m checkpoints) take(s checkpointsState, a int8, i int, id int8, add func(action, checkpointsState)) {
	t := &s.tasks[a][i]
	t.taken = id
	m.prepare(t, a, id)
	names := t.pending
	if m.off[UnpublishedIsNamedAgain] {
		names &^= m.due(*t, a, id-1)
	}
	s.acks[id][a][i] = contribution{true, t.read, names}
	add(act(ckTake, i, int(a), int(id)), s)
}

// due is what checkpoint id is, or was, to make visible, of what is pending: with it all that is inherited.
func (m checkpoints) due(t task, a, id int8) (set outputs) {
	for r := int8(0); r < t.prepared; r++ {
		if t.since[r] <= id {
			set |= copyOf(a, r)
		}
	}
	return t.pending & (set | below(a))
}

func (m checkpoints) commit(s checkpointsState, a int8, i int, id int8, add func(action, checkpointsState)) {
	due := m.due(s.tasks[a][i], a, id)
	s.tasks[a][i].pending &^= due
	m.show(&s, i, due)
	add(act(ckCommit, i, int(a), int(id)), s)
}

// show makes outputs visible.
func (m checkpoints) show(s *checkpointsState, i int, set outputs) {
	s.visible[i] |= set &^ s.deleted[i]
}

// rename is what leaders do, old ones too: again and again.
func (m checkpoints) rename(s checkpointsState, add func(action, checkpointsState)) {
	for id := int8(1); id <= s.reserved; id++ {
		if !s.completed.has(id) {
			continue
		}
		n := s
		for i := range subtasks {
			m.show(&n, i, s.manifests[id][i].names)
		}
		n.published[id] |= m.present(s)
		add(act(ckRename, int(id)), n)
	}
	if s.ended {
		n := s
		for i := range subtasks {
			m.show(&n, i, s.last[i])
		}
		add(act(ckRenameLast), n)
	}
}

func (m checkpoints) broken(s checkpointsState) string {
	if s.broke != "" {
		return s.broke
	}
	for i := range subtasks {
		named := s.last[i]
		for id := range s.manifests {
			if s.completed.has(int8(id)) {
				named |= s.manifests[id][i].names
			}
		}
		if s.visible[i]&^named != 0 {
			return "I5: an output is visible that neither a completed checkpoint nor the end of the job names"
		}
		if why := m.counted(s, i); why != "" {
			return why
		}
	}
	return ""
}

// counted says which record's output is visible twice, or lost.
func (m checkpoints) counted(s checkpointsState, i int) string {
	newest := s.manifests[s.pointer][i]
	for r := range m.records {
		all := copies(r)
		if bits.OnesCount8(uint8(s.visible[i]&all)) > 1 {
			return "I5: an output is visible twice"
		}
		waiting := (newest.names | s.last[i]) &^ s.deleted[i]
		if (r < newest.read || s.ended) && (s.visible[i]|waiting)&all == 0 {
			return "I5: an output is lost"
		}
	}
	return ""
}

// stuck is a job that does not come to its end, or whose output does not appear. One that commits transactions needs a
// checkpoint at its end, and here they may all have been aborted.
func (m checkpoints) stuck(s checkpointsState) string {
	for i := range subtasks {
		for r := range m.records {
			if s.ended && s.visible[i]&copies(r) == 0 {
				return "L1: an output does not become visible"
			}
		}
	}
	if !s.ended && (m.files || s.reserved < m.ids) {
		return "L1: the job does not come to its end"
	}
	return ""
}

// twin has the subtasks exchanged.
func (m checkpoints) twin(s checkpointsState) checkpointsState {
	s.attempt[0], s.attempt[1] = s.attempt[1], s.attempt[0]
	swap := func(c *[subtasks]contribution) { c[0], c[1] = c[1], c[0] }
	for id := range s.manifests {
		for _, to := range []*partsSet{&s.triggers[id], &s.completions[id], &s.aborts[id], &s.published[id]} {
			*to = *to>>4 | *to<<4
		}
		swap(&s.manifests[id])
		for a := range s.acks[id] {
			swap(&s.acks[id][a])
		}
	}
	for a := range s.tasks {
		s.tasks[a][0], s.tasks[a][1] = s.tasks[a][1], s.tasks[a][0]
		s.from[a][0], s.from[a][1] = s.from[a][1], s.from[a][0]
	}
	for _, o := range []*[subtasks]outputs{&s.last, &s.written, &s.visible, &s.deleted} {
		o[0], o[1] = o[1], o[0]
	}
	return s
}

func (m checkpoints) goals() []goal[checkpointsState] {
	return []goal[checkpointsState]{
		{"the job ends in its last attempt, with all output visible", func(s checkpointsState) bool {
			return s.ended && s.newest == m.attempts && s.visible[0] != 0 && s.visible[1] != 0
		}},
		{"the last id is completed, of two attempts", func(s checkpointsState) bool {
			return s.completed.has(m.ids) && s.attempt[0] != s.attempt[1]
		}},
		{"what a restored attempt inherited is visible", func(s checkpointsState) bool {
			a := s.attempt[0]
			return !s.from[a][0].has(0) && s.manifests[s.pointer][0].names != 0 && s.visible[0]&below(a) != 0
		}},
		{"an attempt that was superseded takes a checkpoint", func(s checkpointsState) bool {
			return s.attempt[0] == 2 && s.tasks[2][0].phase == reads && s.tasks[1][0].taken == 1 && s.pointer == 0
		}},
	}
}

func checkpointsRun(files bool) func(Off, size) Result {
	return func(off Off, z size) Result {
		m := checkpoints{off: off, files: files, attempts: 2, ids: 2, records: 1}
		if z == small {
			return explore(m, z.limit())
		}
		attempts, ids, records := m, m, m
		attempts.attempts, ids.ids, records.records = 3, 3, 2
		return join(explore(attempts, z.limit()), explore(ids, z.limit()), explore(records, z.limit()))
	}
}
