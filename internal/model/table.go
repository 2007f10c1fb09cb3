package model

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Run explores every model within its larger bounds, and then, within the smaller ones, without each of its rules in turn. It
// prints one table, and below it what is wrong; progress tells meanwhile where it is. It reports whether nothing is wrong.
func Run(w, progress io.Writer) bool {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "model\tbounds\tstates\tdepth\tseconds\trules\tviolations\tcounterexamples")
	var wrong []string
	for _, m := range models {
		fmt.Fprintf(progress, "%s: %s\n", m.name, m.bounds[large])
		r := m.run(Off{}, large)
		found, missed := m.counterexamples()
		wrong = slices.Concat(wrong, m.wrong(r), missed)
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.1f\t%s\t%s\t%d of %d switches\n",
			m.name, m.bounds[large], r.States, r.Depth, r.Elapsed.Seconds(), m.rules(), cmp.Or(r.Broken, "0"), found, len(m.covers))
	}
	table.Flush()
	for _, line := range wrong {
		fmt.Fprintln(w, line)
	}
	return len(wrong) == 0
}

// wrong says what is wrong with an exploration with every rule on.
func (m model) wrong(r Result) (lines []string) {
	if r.Broken != "" {
		lines = append(lines, fmt.Sprintf("%s: %s:\n  %s", m.name, r.Broken, strings.Join(r.Trace, "\n  ")))
		return lines
	}
	if r.Unfinished {
		return append(lines, fmt.Sprintf("%s: more than %d states; nothing is proved: choose lower bounds", m.name, r.States))
	}
	listed := map[string]bool{}
	for _, a := range m.actions {
		listed[a] = true
		if r.Fired[a] == 0 {
			lines = append(lines, fmt.Sprintf("%s: this never happens: %s", m.name, a))
		}
	}
	for a := range r.Fired {
		if !listed[a] {
			lines = append(lines, fmt.Sprintf("%s: this happens, and is not listed: %s", m.name, a))
		}
	}
	for _, g := range r.Missed {
		lines = append(lines, fmt.Sprintf("%s: this is never reached: %s", m.name, g))
	}
	return lines
}

// counterexamples explores the model without each of its switches, within the smaller bounds.
func (m model) counterexamples() (found int, missed []string) {
	for _, c := range m.covers {
		if r := m.run(without(c.off), small); strings.HasPrefix(r.Broken, c.breaks+":") {
			found++
		} else {
			missed = append(missed, fmt.Sprintf("%s: without %s (%s) there should be a counterexample to %s; found: %q", m.name, c.name, c.rule, c.breaks, r.Broken))
		}
	}
	return found, missed
}

// rules lists the rules that the model's switches belong to, each once.
func (m model) rules() string {
	var list []string
	for _, c := range m.covers {
		list = append(list, c.rule)
	}
	return strings.Join(slices.Compact(list), " ")
}
