package model

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A space is a state space: where it begins, and what may happen in each state.
//
// Processes that pause, and channels that delay, need no actions of their own: nobody has to take the next
// step, and any other may come first. Channels are sets of what was ever sent, out of which anything may be
// received at any time, again, or never: so they lose, duplicate and reorder.
type space[S comparable] interface {
	start() S
	// next calls add for each action that is possible in s, with the state that it leads to.
	next(s S, add func(a action, to S))
	// broken names the invariant that s breaks, and says how; "" if it breaks none.
	broken(s S) string
	// stuck says why nothing may go on being possible in s for ever; "": all that was to be done is done.
	stuck(s S) string
	// twin returns the state that is the same as s with two names exchanged: one of the two is explored. It
	// is s itself if no names can be exchanged.
	twin(s S) S
	// goals are states that must be reached, or the model is empty.
	goals() []goal[S]
}

type goal[S comparable] struct {
	name    string
	reached func(s S) bool
}

// action is a sentence with a %d for each of the numbers that it needs.
type action struct {
	text string
	n    [4]int
}

func act(text string, n ...int) action {
	a := action{text: text}
	copy(a.n[:], n)
	return a
}

func (a action) String() string {
	args := make([]any, strings.Count(a.text, "%d"))
	for i := range args {
		args[i] = a.n[i]
	}
	return fmt.Sprintf(a.text, args...)
}

// Result is what came of an exploration.
type Result struct {
	States  int
	Depth   int // steps to the state that is farthest away
	Elapsed time.Duration
	// Broken is the invariant that a state breaks, "" if none does; Trace are the steps to it, and no fewer lead to any such state.
	Broken string
	Trace  []string
	// Unfinished says that there were more states than the limit: nothing is proved.
	Unfinished bool
	Fired      map[string]int // how often each action happened
	Missed     []string       // goals that were not reached
}

// join makes one result of explorations of one model within different bounds: what went wrong in one, or all of them together.
func join(results ...Result) Result {
	all := results[0]
	for _, r := range results[1:] {
		if all.Broken != "" || all.Unfinished {
			return all
		}
		r.States, r.Depth, r.Elapsed = r.States+all.States, max(r.Depth, all.Depth), r.Elapsed+all.Elapsed
		for a, n := range all.Fired {
			r.Fired[a] += n
		}
		r.Missed = slices.DeleteFunc(r.Missed, func(goal string) bool { return !slices.Contains(all.Missed, goal) })
		all = r
	}
	return all
}

// explorer is a breadth-first search. Of a state it remembers a hash of 64 bits and how it came there: of 24 million states, the
// most that there are in one exploration, two share a hash, and one of them is missed, with a probability of some 3 in 100,000.
type explorer[S comparable] struct {
	space   space[S]
	limit   int
	seed    maphash.Seed
	seen    hashes
	order   []uint64 // the hashes, in order of discovery
	parents []uint32 // indices in order
	missed  []goal[S]
	result  Result
}

type place[S comparable] struct {
	state S
	index uint32
}

// explore visits every state, up to limit of them, and ends with the first that breaks an invariant.
func explore[S comparable](sp space[S], limit int) Result {
	x := &explorer[S]{space: sp, limit: limit, seed: maphash.MakeSeed(), missed: sp.goals()}
	x.result.Fired = map[string]int{}
	began := time.Now()
	x.run()
	for _, g := range x.missed {
		x.result.Missed = append(x.result.Missed, g.name)
	}
	x.result.States, x.result.Elapsed = len(x.order), time.Since(began)
	return x.result
}

func (x *explorer[S]) run() {
	start := x.space.start()
	x.enter(start, 0)
	level := []place[S]{{start, 0}}
	for depth := 0; len(level) > 0; depth++ {
		x.result.Depth = depth
		var next []place[S]
		for _, p := range level {
			if x.visit(p, &next); x.result.Broken != "" || x.result.Unfinished {
				return
			}
		}
		level = next
	}
}

// visit judges a state and finds those that follow it.
func (x *explorer[S]) visit(p place[S], next *[]place[S]) {
	x.note(p.state)
	why, moved := x.space.broken(p.state), false
	if why == "" {
		x.space.next(p.state, func(a action, to S) {
			if to == p.state {
				return
			}
			moved = true
			x.result.Fired[a.text]++
			if x.enter(to, p.index) {
				*next = append(*next, place[S]{to, uint32(len(x.order) - 1)})
			}
		})
		if !moved {
			why = x.space.stuck(p.state)
		}
	}
	if why != "" {
		x.result.Broken, x.result.Trace = why, x.trace(p.index)
	}
	x.result.Unfinished = len(x.order) > x.limit
}

// enter remembers a state, and reports whether it is new.
func (x *explorer[S]) enter(s S, parent uint32) bool {
	h := x.hash(s)
	if !x.seen.add(h) {
		return false
	}
	x.order, x.parents = append(x.order, h), append(x.parents, parent)
	return true
}

func (x *explorer[S]) hash(s S) uint64 {
	return max(min(maphash.Comparable(x.seed, s), maphash.Comparable(x.seed, x.space.twin(s))), 1)
}

func (x *explorer[S]) note(s S) {
	x.missed = slices.DeleteFunc(x.missed, func(g goal[S]) bool { return g.reached(s) })
}

// trace replays the way to a state: only hashes were kept of it.
func (x *explorer[S]) trace(index uint32) []string {
	var way []uint64
	for i := index; i != 0; i = x.parents[i] {
		way = append(way, x.order[i])
	}
	var lines []string
	s := x.space.start()
	for i := len(way) - 1; i >= 0; i-- {
		found := false
		at := s
		x.space.next(at, func(a action, to S) {
			if !found && x.hash(to) == way[i] {
				found, s = true, to
				lines = append(lines, a.String())
			}
		})
	}
	return lines
}

// hashes is a set of numbers other than 0, with open addressing.
type hashes struct {
	slots []uint64
	count int
}

// add reports whether h is new.
func (s *hashes) add(h uint64) bool {
	if 4*s.count >= 3*len(s.slots) {
		s.grow()
	}
	i := s.find(h)
	if s.slots[i] == h {
		return false
	}
	s.slots[i] = h
	s.count++
	return true
}

// find returns where h is, or is to be.
func (s *hashes) find(h uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := h & mask
	for s.slots[i] != 0 && s.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}

func (s *hashes) grow() {
	old := s.slots
	s.slots = make([]uint64, max(1<<16, 2*len(old)))
	for _, h := range old {
		if h != 0 {
			s.slots[s.find(h)] = h
		}
	}
}
