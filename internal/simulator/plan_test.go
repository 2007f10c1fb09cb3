package simulator

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// possible is a plan that nothing is wrong with.
func possible() Plan {
	return Plan{JobManagers: 2, TaskManagers: 2, Slots: 2, Length: 10 * time.Second, Jobs: []Job{{ID: "0dc4e4ff8c0070008000000000000001", At: time.Second, Parallelism: 2}}}
}

func TestImpossiblePlansAreRefused(t *testing.T) {
	kill := Fault{Kind: Kill, At: time.Second, For: time.Second, Target: "jm-1"}
	with := func(change func(*Fault)) func(*Plan) {
		return func(p *Plan) {
			f := kill
			change(&f)
			p.Faults = []Fault{f}
		}
	}
	for why, change := range map[string]func(*Plan){
		"":                          func(p *Plan) { p.Faults = []Fault{kill} },
		"expected 1 to 9 of each":   func(p *Plan) { p.JobManagers = 0 },
		"wait for ever":             func(p *Plan) { p.Jobs[0].Parallelism = 5 },
		"no job id":                 func(p *Plan) { p.Jobs[0].ID = "x" },
		"cancelled at 500ms":        func(p *Plan) { p.Jobs[0].CancelAt = 500 * time.Millisecond },
		"no such kind":              with(func(f *Fault) { f.Kind = "earthquake" }),
		"no host of this cluster":   with(func(f *Fault) { f.Target = "jm-3" }),
		"the run of 10s is over":    with(func(f *Fault) { f.At = 10 * time.Second }),
		"for 0s":                    with(func(f *Fault) { f.For = 0 }),
		"by 1s":                     with(func(f *Fault) { f.By = time.Second }),
		"no other host":             with(func(f *Fault) { f.Kind, f.Other = Partition, "tm-7" }),
		"not cut off from itself":   with(func(f *Fault) { f.Kind, f.Other = Partition, "jm-1" }),
		"has no task processes":     with(func(f *Fault) { f.Kind, f.For = KillTask, 0 }),
		"nobody else does":          with(func(f *Fault) { f.Kind, f.For, f.Other = Repeat, 0, "jm-2" }),
		"goes on thinking":          with(func(f *Fault) { f.Kind, f.For = Freeze, 3*time.Second }),
		"only JobManagers and coor": func(p *Plan) { f := kill; f.Target = "tm-1"; p.Calm, p.Faults = true, []Fault{f} },
		"nothing may befall":        func(p *Plan) { p.Calm, p.Faults = true, []Fault{{Kind: DiskAway, At: 1, For: 1}} },
	} {
		p := possible()
		change(&p)
		err := p.Check()
		if why != "" {
			_, err = Run(p, Options{})
		}
		switch {
		case why == "" && err != nil:
			t.Errorf("a possible plan is refused: %v", err)
		case why != "" && (err == nil || !strings.Contains(err.Error(), why)):
			t.Errorf("%q: the plan is refused with %v", why, err)
		}
	}
	if canJump {
		return
	}
	p := possible()
	p.Faults = []Fault{{Kind: JumpClock, At: 1, For: 1, By: time.Hour, Target: "jm-1"}}
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "one clock for all hosts") {
		t.Errorf("a jump of the clock, without a runtime for it: %v", err)
	}
}

// What seeds draw is possible, and of all kinds.
func TestDraw(t *testing.T) {
	drawn := map[Kind]bool{}
	for seed := range uint64(500) {
		p := Draw(seed)
		if err := p.Check(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if again := Draw(seed); !reflect.DeepEqual(p, again) {
			t.Errorf("seed %d draws another plan the second time", seed)
		}
		for _, f := range p.Faults {
			drawn[f.Kind] = true
		}
	}
	for _, k := range kinds() {
		if !drawn[k] {
			t.Errorf("no seed draws %s", k)
		}
	}
}

func TestShrink(t *testing.T) {
	whole := Plan{Jobs: []Job{{At: 1}, {At: 2}, {At: 3}}}
	for i := range 13 {
		whole.Faults = append(whole.Faults, Fault{At: time.Duration(i)})
	}
	has := func(p Plan, at time.Duration) bool {
		for _, f := range p.Faults {
			if f.At == at {
				return true
			}
		}
		return false
	}
	tried := 0
	shrunk := Shrink(whole, func(p Plan) bool {
		tried++
		return has(p, 3) && has(p, 11) && len(p.Jobs) > 0 && p.Jobs[len(p.Jobs)-1].At == 3
	})
	faults, jobs := Kept(whole, shrunk)
	if !reflect.DeepEqual(faults, []int{4, 12}) || !reflect.DeepEqual(jobs, []int{3}) {
		t.Errorf("faults %v and jobs %v are left, want 4, 12 and 3", faults, jobs)
	}
	if again := whole.Keep(faults, jobs); !reflect.DeepEqual(again, shrunk) {
		t.Errorf("Keep makes %v of what is left, want %v", again, shrunk)
	}
	if tried > 60 {
		t.Errorf("%d plans were tried", tried)
	}
}
