package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Violation is what must not have been.
type Violation struct {
	Invariant string // I1, I5 …
	What      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.What }

// Tally is what was done, by the fault's name, with how long it took until somebody answered again.
type Tally map[string]*times

type times struct {
	row  string
	each []time.Duration
}

func (t Tally) add(f fault, took time.Duration) {
	if t[f.name] == nil {
		t[f.name] = &times{row: f.row}
	}
	t[f.name].each = append(t[f.name].each, took)
}

// Total is what several rounds came to.
type Total struct {
	Faults Tally
	Rounds map[string]int // by site
	Counts map[string]int
	Broken map[string][]string // by invariant
}

// NewTotal is that of no round.
func NewTotal() *Total {
	return &Total{Faults: Tally{}, Rounds: map[string]int{}, Counts: map[string]int{}, Broken: map[string][]string{}}
}

// Add adds a round at a site.
func (t *Total) Add(k Kind, r Result) {
	t.Rounds[k.String()]++
	for name, one := range r.Faults {
		if t.Faults[name] == nil {
			t.Faults[name] = &times{row: one.row}
		}
		t.Faults[name].each = append(t.Faults[name].each, one.each...)
	}
	for name, n := range map[string]int{
		"lines": r.Lines, "lost": r.Lost, "duplicated": r.Duplicated, "restarts": r.Restarts, "checkpoints": r.Checkpoints, "checkpoints given up": r.Aborted,
		"processes killed": r.Kills, "processes that ended by themselves": r.Ended, "requests": r.Requests, "requests whose outcome is not known": r.Unanswered, "histories of requests not checked to the end": r.Unchecked,
		"attempts that were witnessed": r.Witnessed, "faults that had nothing to strike": r.Spared, "epochs": r.Epochs, "rounds in which no task was to notice": r.Gentle,
	} {
		t.Counts[name] += n
	}
	for _, v := range r.Violations {
		t.Broken[v.Invariant] = append(t.Broken[v.Invariant], v.What)
	}
}

// checked are the invariants that each round is held against.
var checked = []struct{ name, what string }{
	{"I1", "no epoch has two leaders"},
	{"I5", "the output is that of the undisturbed run; with pause no attempts overlap"},
	{"I6", "no task is touched by faults of JobManagers, coordination and clocks"},
	{"I7", "the answers to all requests are those of some order of them"},
	{"quorum", "nothing is acknowledged without a quorum"},
	{"crash", "no process of the cluster panics"},
}

// Write writes one table of all.
func (t *Total) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-44s %-5s %6s %14s %14s\n", "fault", "row", "times", "answers p50", "answers max")
	for _, f := range faults {
		if one := t.Faults[f.name]; one != nil {
			slices.Sort(one.each)
			fmt.Fprintf(&b, "%-44s %-5s %6d %14s %14s\n", f.name, f.row, len(one.each), millis(one.each[len(one.each)/2]), millis(one.each[len(one.each)-1]))
		}
	}
	b.WriteString("\n")
	for _, counts := range []map[string]int{t.Rounds, t.Counts} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "%-44s %12d\n", name, counts[name])
		}
	}
	fmt.Fprintf(&b, "\n%-8s %-76s %s\n", "", "invariant", "violations")
	for _, c := range checked {
		fmt.Fprintf(&b, "%-8s %-76s %d\n", c.name, c.what, len(t.Broken[c.name]))
	}
	for _, c := range checked {
		for _, what := range t.Broken[c.name] {
			fmt.Fprintf(&b, "%s: %s\n", c.name, what)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
