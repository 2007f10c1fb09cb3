package model

import (
	"strings"
	"testing"
)

// TestModels: with every rule on no model breaks an invariant, and everything in it can happen.
func TestModels(t *testing.T) {
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			r := m.run(Off{}, small)
			t.Logf("%s: %d states, %d steps deep, %v", m.bounds[small], r.States, r.Depth, r.Elapsed)
			for _, line := range m.wrong(r) {
				t.Error(line)
			}
		})
	}
}

// TestSwitches: without a rule, or a part of one, there is a counterexample.
func TestSwitches(t *testing.T) {
	for _, m := range models {
		for _, c := range m.covers {
			t.Run(c.name, func(t *testing.T) {
				r := m.run(without(c.off), small)
				t.Logf("%d states, %v: %s\n%s", r.States, r.Elapsed, r.Broken, strings.Join(r.Trace, "\n"))
				if invariant, _, _ := strings.Cut(r.Broken, ":"); invariant != c.breaks {
					t.Errorf("without it %q is broken, want %s", r.Broken, c.breaks)
				}
			})
		}
	}
}
