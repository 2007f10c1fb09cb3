package job

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRegions(t *testing.T) {
	vertices := func(parallelism ...int) (list []Vertex) {
		for _, n := range parallelism {
			list = append(list, Vertex{Parallelism: n})
		}
		return list
	}
	for name, c := range map[string]struct {
		g    Graph
		want []Region
	}{
		"one subtask":      {Graph{Vertices: vertices(1)}, []Region{{[]int{0}, []int{0}}}},
		"fused pipeline":   {Graph{Vertices: vertices(3)}, []Region{{[]int{0}, []int{0}}, {[]int{0}, []int{1}}, {[]int{0}, []int{2}}}},
		"forward pipeline": {Graph{Vertices: vertices(2, 2), Edges: []Edge{{From: 0, To: 1, Partitioning: Forward}}}, []Region{{[]int{0, 1}, []int{0}}, {[]int{0, 1}, []int{1}}}},
		"an exchange": {Graph{Vertices: vertices(2, 3), Edges: []Edge{{From: 0, To: 1, Partitioning: Hash}}},
			[]Region{{[]int{0, 1}, []int{0, 1, 2}}}},
		"an exchange beyond forward edges": {Graph{Vertices: vertices(2, 2, 1), Edges: []Edge{{From: 0, To: 1, Partitioning: Forward}, {From: 1, To: 2, Partitioning: Rebalance}}},
			[]Region{{[]int{0, 1, 2}, []int{0, 1}}}},
		"two pipelines, told in turn": {Graph{Vertices: vertices(1, 2, 2, 2), Edges: []Edge{{From: 0, To: 2, Partitioning: Broadcast}, {From: 1, To: 3, Partitioning: Forward}}},
			[]Region{{[]int{0, 2}, []int{0, 1}}, {[]int{1, 3}, []int{0}}, {[]int{1, 3}, []int{1}}}},
		"joined by a late edge": {Graph{Vertices: vertices(1, 1, 1), Edges: []Edge{{From: 0, To: 2, Partitioning: Hash}, {From: 1, To: 2, Partitioning: Hash}}},
			[]Region{{[]int{0, 1, 2}, []int{0}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.g.Regions()); diff != "" {
				t.Error(diff)
			}
			seen := map[Subtask]int{}
			for _, r := range c.g.Regions() {
				for _, slot := range r.Slots {
					for _, s := range r.Subtasks(&c.g, slot) {
						seen[s]++
					}
				}
			}
			for slot := range c.g.Slots() {
				for _, s := range c.g.SlotSubtasks(slot) {
					if seen[s] != 1 {
						t.Errorf("subtask %v is in %d regions, want one", s, seen[s])
					}
				}
			}
		})
	}
}
