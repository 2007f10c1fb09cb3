package execution

import (
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// part is what one TaskManager has of one attempt in one task process: its share of a region, or its
// single-slot regions of the same vertices.
type part struct {
	Instance string
	Region   int // the lowest that it has; with the job and the attempt its name
	Attempt  job.Attempt
	Slots    []int
	Subtasks []job.Subtask
	regions  []int // all that it has to do with
	// crash says how its task process ended although all of its subtasks had finished, or "", and crashKilled
	// that a signal ended it.
	crash       string
	crashKilled bool
}

// Part is the part as actions and TaskManagers name it.
func (p *part) Part() Part { return Part{p.Instance, p.Region, p.Attempt} }

// layout is where the regions of the committed assignment are.
type layout struct {
	regions []job.Region
	parts   []part
	at      map[job.Subtask]int // index in parts
}

// layOut works out the parts of the committed assignment. Between two of them the last one stays.
func (e *Execution) layOut() {
	in := &e.committed
	if e.graph == nil || !in.Holds() {
		return
	}
	type place struct {
		vertex   int
		instance string
		attempt  job.Attempt
	}
	l := layout{regions: e.graph.Regions(), at: make(map[job.Subtask]int)}
	index := make(map[place]int)
	for r, region := range l.regions {
		for _, slot := range region.Slots {
			at := place{region.Vertices[0], in.Assignment[slot], in.attempt(r)}
			i, known := index[at]
			if !known {
				i = len(l.parts)
				index[at] = i
				l.parts = append(l.parts, e.carried(part{Instance: at.instance, Region: r, Attempt: at.attempt}))
			}
			subtasks := region.Subtasks(e.graph, slot)
			l.parts[i].add(r, slot, subtasks)
			for _, s := range subtasks {
				l.at[s] = i
			}
		}
	}
	e.layout = l
}

// carried is a new part, with what is known if it is an old one.
func (e *Execution) carried(p part) part {
	if i := slices.IndexFunc(e.parts, func(old part) bool { return old.Part() == p.Part() }); i >= 0 {
		p.crash, p.crashKilled = e.parts[i].crash, e.parts[i].crashKilled
	}
	return p
}

func (p *part) add(region, slot int, subtasks []job.Subtask) {
	if !slices.Contains(p.regions, region) {
		p.regions = append(p.regions, region)
	}
	p.Slots = append(p.Slots, slot)
	p.Subtasks = append(p.Subtasks, subtasks...)
}

// attempt is the one that a region was last started under.
func (in *Intent) attempt(region int) job.Attempt {
	if region < len(in.Regions) {
		return in.Regions[region]
	}
	return in.Attempt
}

// givenUp reports whether the part is to end, or has ended, so that its regions start again.
func (e *Execution) givenUp(p *part) bool { return slices.Contains(e.committed.GivenUp, p.regions[0]) }

// partOf returns the part that has a subtask, nil if there is none.
func (e *Execution) partOf(s job.Subtask) *part {
	if i, there := e.at[s]; there {
		return &e.parts[i]
	}
	return nil
}

// present lists the parts that are to run on connected instances.
func (e *Execution) present() []*part {
	var list []*part
	for i := range e.parts {
		if p := &e.parts[i]; e.instance(p.Instance).connected && !e.givenUp(p) {
			list = append(list, p)
		}
	}
	return list
}

// awaited returns the part that an instance tells of, nil if it is none of the committed assignment.
func (e *Execution) awaited(named Part) *part {
	if !e.committed.Holds() {
		return nil
	}
	i := slices.IndexFunc(e.parts, func(p part) bool { return p.Part() == named })
	if i < 0 {
		return nil
	}
	return &e.parts[i]
}

// each is called for the subtasks of all regions but those that were given up, by vertex and index.
func (e *Execution) each(do func(s *subtask)) {
	e.eachOf(func(_ *part, _ job.Subtask, s *subtask) { do(s) })
}

func (e *Execution) eachOf(do func(p *part, id job.Subtask, s *subtask)) {
	for v := range e.subtasks {
		for i := range e.subtasks[v] {
			id := job.Subtask{Vertex: v, Index: i}
			if p := e.partOf(id); p != nil && !e.givenUp(p) {
				do(p, id, &e.subtasks[v][i])
			}
		}
	}
}
