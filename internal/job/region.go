package job

import "slices"

// Region is a set of subtasks that exchanges connect: of each of its vertices, those of its slots. What happens
// to one of them concerns all of them, and no other subtask of the job.
type Region struct {
	Vertices []int
	Slots    []int
}

// Regions lists the regions of g, by their lowest vertex and slot. Each subtask is in exactly one. Vertices that are
// connected by forward edges alone have a region for each slot.
func (g *Graph) Regions() []Region {
	var regions []Region
	for _, vertices := range g.components() {
		slots := 0
		for _, v := range vertices {
			slots = max(slots, g.Vertices[v].Parallelism)
		}
		all := make([]int, slots)
		for slot := range all {
			all[slot] = slot
		}
		if g.mixes(vertices) {
			regions = append(regions, Region{vertices, all})
			continue
		}
		for slot := range all {
			regions = append(regions, Region{vertices, all[slot : slot+1]})
		}
	}
	return regions
}

// components are the sets of vertices that edges connect, directly or over others, by their lowest.
func (g *Graph) components() [][]int {
	of := make([]int, len(g.Vertices)) // the lowest vertex that is known to be connected
	for v := range of {
		of[v] = v
	}
	for changed := true; changed; {
		changed = false
		for _, e := range g.Edges {
			if low := min(of[e.From], of[e.To]); of[e.From] != low || of[e.To] != low {
				of[e.From], of[e.To], changed = low, low, true
			}
		}
	}
	var sets [][]int
	at := make(map[int]int)
	for v, low := range of {
		if low == v {
			at[v] = len(sets)
			sets = append(sets, nil)
		}
		sets[at[low]] = append(sets[at[low]], v)
	}
	return sets
}

// mixes reports whether an edge among these vertices leads from one slot to another.
func (g *Graph) mixes(vertices []int) bool {
	return slices.ContainsFunc(g.Edges, func(e Edge) bool { return e.Partitioning != Forward && slices.Contains(vertices, e.From) })
}

// Subtasks lists those of the region that are in a slot.
func (r Region) Subtasks(g *Graph, slot int) []Subtask {
	var list []Subtask
	for _, v := range r.Vertices {
		if slot < g.Vertices[v].Parallelism {
			list = append(list, Subtask{Vertex: v, Index: slot})
		}
	}
	return list
}
