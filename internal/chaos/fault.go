package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is one that may be done to a site.
type fault struct {
	name   string
	row    string // of docs/faults.md; "–": of none
	weight int    // how often it comes
	// gentle is a fault of JobManagers, of coordination or of clocks alone: no task may notice (I6).
	gentle bool
	do     func(r *round, ctx context.Context) error
	needs  func(*Site) string // why it cannot be done there, or ""; nil: it always can
}

// faults are all that there are.
var faults = slices.Concat(processFaults, storageFaults, coordinationFaults, networkFaults, clockFaults)

// possible reports why a fault cannot be done at a site, or "".
func (f fault) possible(s *Site) string {
	if f.needs == nil {
		return ""
	}
	return f.needs(s)
}

// Plan is what a run is to do.
type Plan struct {
	Faults []string // names of those that are drawn; nil: all that can be done at a site
	Gentle bool     // only those that no task may notice
}

// Possible refuses a plan that cannot be carried out at any site of a kind, and says why.
func (p Plan) Possible(k Kind) error { return p.Check(k.best()) }

// Check refuses a plan that cannot be carried out at a site, and says why.
func (p Plan) Check(s *Site) error {
	for _, name := range p.Faults {
		i := slices.IndexFunc(faults, func(f fault) bool { return f.name == name })
		switch {
		case i < 0:
			return fmt.Errorf("there is no fault %q; those that there are: %s", name, strings.Join(Faults(), ", "))
		case p.Gentle && !faults[i].gentle:
			return fmt.Errorf("the plan is to have faults that no task notices, and %q is none", name)
		case faults[i].possible(s) != "":
			return fmt.Errorf("%q cannot be done on %s: %s", name, s.Kind, faults[i].possible(s))
		}
	}
	if len(p.drawn(s, false)) == 0 {
		return fmt.Errorf("no fault of the plan can be done on %s", s.Kind)
	}
	return nil
}

// Faults are the names of all.
func Faults() []string {
	var names []string
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// RowOf is the row of docs/faults.md that the table has beside a fault; 0: it is of none.
func RowOf(name string) int {
	for _, f := range faults {
		if f.name == name {
			row, _ := strconv.Atoi(f.row)
			return row
		}
	}
	return 0
}

// drawn are the faults of a round, each as often as it weighs.
func (p Plan) drawn(s *Site, gentle bool) []fault {
	var all []fault
	for _, f := range faults {
		if (p.Faults == nil || slices.Contains(p.Faults, f.name)) && (f.gentle || !gentle && !p.Gentle) && f.possible(s) == "" {
			all = append(all, slices.Repeat([]fault{f}, f.weight)...)
		}
	}
	return all
}

// errSpared is why a fault was not done: there was nothing to do it to. It counts for nothing.
var errSpared = errors.New("it was not done")

// fault does one, drawn by weight, and measures for how long nobody answered after it.
func (r *round) fault(ctx context.Context, drawn []fault) error {
	f := drawn[r.draw.IntN(len(drawn))]
	r.Say("seed %d: %s", r.Seed, f.name)
	r.rough = r.rough || !f.gentle
	r.struck, r.took = time.Time{}, 0
	err := f.do(r, ctx)
	spared := errors.Is(err, errSpared)
	if spared {
		r.Say("seed %d: %s: %v", r.Seed, f.name, err)
		r.result.Spared++
		err = nil
	}
	if err == nil {
		err = r.revive(ctx)
	}
	if err == nil && !spared && r.took == 0 {
		err = r.answered(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if !spared {
		r.result.Faults.add(f, r.took)
	}
	return nil
}

// answered asks until somebody answers, and notes how long that is after the fault.
func (r *round) answered(ctx context.Context) error {
	if r.struck.IsZero() {
		r.struck = time.Now()
	}
	_, err := r.client.Job(ctx, r.id)
	if err == nil {
		r.took = time.Since(r.struck)
	}
	return err
}

// revive starts again what has ended by itself, as a supervisor does.
func (r *round) revive(ctx context.Context) error {
	for _, p := range slices.Concat(r.Cluster.JobManagers, r.Cluster.TaskManagers) {
		if p.Running() {
			continue
		}
		r.Say("seed %d: %s has ended by itself; it is started again", r.Seed, p.Name)
		r.result.Ended++
		if err := p.Start(); err != nil {
			return err
		}
	}
	return r.serve(ctx)
}

// moments is a time between two, in milliseconds.
func (r *round) moments(least, most int) time.Duration {
	return time.Duration(least+r.draw.IntN(most-least)) * time.Millisecond
}

// during is a fault that lasts: it is done, and undone after some time whatever happens. If somebody answers meanwhile, that is
// noted; else it is asked again when it is over.
func (r *round) during(ctx context.Context, d time.Duration, begin, end func() error) error {
	r.struck = time.Now()
	over := r.struck.Add(d)
	asked := func() error {
		if err := begin(); err != nil {
			return err
		}
		meanwhile, cancel := context.WithDeadline(ctx, over)
		defer cancel()
		_ = r.answered(meanwhile)
		return nil
	}
	return during(ctx, over, asked, end)
}

// during does something, lets the time go by until it is over, and undoes it, whatever happens in between.
func during(ctx context.Context, over time.Time, begin, end func() error) error {
	if err := begin(); err != nil {
		return errors.Join(err, end())
	}
	err := wait(ctx, time.Until(over))
	if e := end(); err == nil {
		err = e
	}
	return err
}
