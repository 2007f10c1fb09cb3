package model

import (
	"fmt"
	"os"
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
			t.Run(m.name+"/"+c.name, func(t *testing.T) {
				r := m.run(without(c.off), small)
				t.Logf("%d states, %v: %s\n%s", r.States, r.Elapsed, r.Broken, strings.Join(r.Trace, "\n"))
				if invariant, _, _ := strings.Cut(r.Broken, ":"); invariant != c.breaks {
					t.Errorf("without it %q is broken, want %s", r.Broken, c.breaks)
				}
			})
		}
	}
}

// TestRules: every switch is covered, and told of in docs; so is every rule that models are to cover.
func TestRules(t *testing.T) {
	var covered [switches]bool
	rules := map[string]bool{}
	for _, m := range models {
		for _, c := range m.covers {
			covered[c.off], rules[c.rule] = true, true
			for _, page := range []string{"../../docs/model.md", "../../docs/rules.md"} {
				text, err := os.ReadFile(page)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(text), "`"+c.name+"`") {
					t.Errorf("%s does not name %s", page, c.name)
				}
			}
		}
	}
	for s, is := range covered {
		if !is {
			t.Errorf("no model covers switch %d", s)
		}
	}
	for n := 1; n <= 16; n++ {
		if rule := fmt.Sprintf("R%d", n); !rules[rule] {
			t.Errorf("no model covers %s", rule)
		}
	}
}

// ring is a space of a few states, with a broken one that two ways lead to.
type ring struct{ size, broke int }

func (r ring) start() int { return 0 }

func (r ring) next(s int, add func(action, int)) {
	add(act("to %d", (s+1)%r.size), (s+1)%r.size)
	if s == 1 {
		add(act("from %d straight to %d", s, 4), 4)
	}
}

func (r ring) broken(s int) string {
	if s == r.broke {
		return "I0: here"
	}
	return ""
}

func (r ring) stuck(int) string   { return "" }
func (r ring) twin(s int) int     { return s }
func (r ring) goals() []goal[int] { return []goal[int]{{"seven", func(s int) bool { return s == 7 }}} }

// TestExplore: every state is visited once, the shortest way is shown, and what is not reached is told.
func TestExplore(t *testing.T) {
	if r := explore(ring{8, 9}, 100); r.States != 8 || r.Broken != "" || r.Depth != 5 || len(r.Missed) != 0 || r.Fired["to %d"] != 8 {
		t.Errorf("all of it: %+v", r)
	}
	if r := explore(ring{8, 5}, 100); r.Broken != "I0: here" || fmt.Sprint(r.Trace) != "[to 1 from 1 straight to 4 to 5]" || len(r.Missed) != 1 {
		t.Errorf("a counterexample: %+v", r)
	}
	if r := join(explore(ring{8, 9}, 100), explore(ring{6, 9}, 100)); r.States != 14 || r.Depth != 5 || len(r.Missed) != 0 || r.Fired["to %d"] != 14 {
		t.Errorf("both: %+v", r)
	}
	if r := explore(ring{8, 9}, 5); !r.Unfinished {
		t.Errorf("more states than allowed: %+v", r)
	}
}
