package simulator

import (
	"strings"
	"testing"
	"time"
)

// TestScripts: plans that bring about what a rule is for, which seeds do seldom. Without the rule each fails, with a violation
// of what is in brackets.
func TestScripts(t *testing.T) {
	const second = time.Second
	dies := func(jm string, at, lasts time.Duration) Fault {
		return Fault{Kind: Kill, At: at, For: lasts, Target: jm}
	}
	again := func(jm string, at time.Duration) (list []Fault) { // each time another half
		for i := range 8 {
			list = append(list, Fault{Kind: Repeat, At: at + time.Duration(i)*second/10, Target: jm, Other: "tm-1"})
		}
		return list
	}
	for _, s := range []struct {
		what   string
		rule   string // as in Result.Tempted
		job    Job
		calm   bool
		faults []Fault
	}{
		{"the first leader's triggers come again when it leads again (I4)", "R2 trigger", Job{}, true,
			append([]Fault{dies("jm-1", 2*second, second/2), dies("jm-2", 3*second, second/2), dies("jm-1", 4*second, second/2), dies("jm-2", 5*second, second/2)},
				append(again("jm-1", 6*second), again("jm-2", 6*second)...)...)},
		{"an attempt dies, and its triggers come again to the next (R5)", "R5", Job{}, false,
			append([]Fault{{Kind: KillTask, At: 2 * second, Target: "tm-1"}}, again(leaderRole, 4*second)...)},
		{"a job is cancelled, and its deploy comes again (I3)", "R6", Job{CancelAt: 2 * second}, true, again(leaderRole, 3*second)},
		{"a task process dies without JobManagers (R12)", "R12 of an end", Job{}, false,
			[]Fault{dies("jm-1", second, 3*second), dies("jm-2", second, 3*second), {Kind: KillTask, At: 2 * second, Target: "tm-1"}}},
		{"acknowledgements do not come to a leader that dies (R12)", "R12 of an acknowledgement", Job{}, false,
			[]Fault{
				{Kind: OneWay, At: second, For: 2 * second, Target: "tm-1", Other: "jm-1"}, {Kind: OneWay, At: second, For: 2 * second, Target: "tm-1", Other: "jm-2"},
				{Kind: Kill, At: 2 * second, For: 2 * second, Target: leaderRole},
			}},
	} {
		t.Run(s.rule, func(t *testing.T) {
			s.job.ID, s.job.At, s.job.Parallelism = watchedJob, 10*time.Millisecond, 2
			plan := Plan{Seed: 1, JobManagers: 2, TaskManagers: 1, Slots: 2, Length: 7 * second, Calm: s.calm, Jobs: []Job{s.job}, Faults: s.faults}
			r := run(t, plan, Options{})
			if len(r.Violations) > 0 || r.Tempted[s.rule] == 0 {
				t.Errorf("%s: it came to that %d times; %q\n%s", s.what, r.Tempted[s.rule], r.Violations, strings.Join(r.Story, "\n"))
			}
		})
	}
}
