package execution

import (
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// restart gives regions up, those of the same task processes with them; the next attempt continues from the newest
// checkpoint. Where there may be no next, the job fails. All is given up if nothing else runs, and while a stop is under way:
// its sources are silent, or were ended, and none may run on for itself. (With regions given up before, it has not begun.)
func (e *Execution) restart(regions []int, why loss) []Action {
	lost := union(e.committed.GivenUp, regions)
	if len(lost) == len(e.regions) || e.lastWord() && len(e.committed.GivenUp) == 0 {
		return e.commit(func(in *Intent) { e.giveAllUp(in, why) })
	}
	return e.giveUp(lost, why)
}

// giveUp gives these regions up, while the others run on.
func (e *Execution) giveUp(lost []int, why loss) []Action {
	return e.commit(func(in *Intent) {
		if !e.restarts(in, why) {
			return
		}
		in.GivenUp = lost
		if id := in.Open; id != 0 {
			in.Open, in.Aborted, in.LastAbort = 0, in.Aborted+1, abortedAs(id, "a part of the job restarts: "+why.reason)
			in.advance(id, in.LastAbort+". Ask again")
		}
	})
}

// union is in order, and shares no memory with a.
func union(a, b []int) []int {
	list := slices.Concat(a, b)
	slices.Sort(list)
	return slices.Compact(list)
}

// giveAllUp makes it an intent whose attempts are all given up, and reports whether another will follow.
func (e *Execution) giveAllUp(in *Intent, why loss) bool {
	if !e.restarts(in, why) {
		return false
	}
	in.Phase, in.GivenUp = Restarting, nil
	return true
}

// loss is why regions are given up.
type loss struct {
	reason  string
	planned bool // it is no failure: it counts as no restart, and needs no leave of the restart strategy
}

// restarts counts a restart, or makes it the intent of a job that fails instead. What is lost before the regions lost
// earlier have started again is part of the same restart: a host may have had several TaskManagers.
func (e *Execution) restarts(in *Intent, why loss) bool {
	in.Failure = why.reason
	switch {
	case why.planned && len(in.GivenUp) == 0:
		in.Uncounted = true
	case why.planned || len(in.GivenUp) > 0 && !in.Uncounted:
	case e.noRestart != "":
		in.Phase, in.Failure = Failing, e.noRestart+". "+why.reason
		return false
	default:
		in.Restarts++
		in.TotalRestarts++
		in.Uncounted = false
	}
	return true
}

// mend ends what was given up, and asks for slots in place of those whose instance is dead or drained, unless it has some. No region starts again before
// what the newest checkpoint names is visible: a restored attempt inherits no output that is to be renamed.
func (e *Execution) mend() []Action {
	if len(e.committed.GivenUp) == 0 {
		return nil
	}
	actions, waiting := e.stop(e.givenUp, true)
	if waiting {
		return actions
	}
	if e.unpublished() {
		return e.publishCheckpoint()
	}
	var kept []string
	for _, name := range e.committed.Assignment {
		if !e.leaves(name) {
			kept = append(kept, name)
		}
	}
	missing := len(e.committed.Assignment) - len(kept)
	reserved := e.reserved
	switch has := e.hasReserved(missing); {
	case has:
		e.moving = moving{}
		return e.absorbReplacements(reserved)
	case !e.requested || e.wanted != missing:
		e.moving = moving{}
		return e.requestSlots(missing, kept)
	}
	return nil
}

// requestSlots asks for slots beside those that are kept.
func (e *Execution) requestSlots(slots int, kept []string) []Action {
	e.requested, e.wanted = true, slots
	return []Action{RequestSlots{Slots: slots, Kept: kept, Restarts: e.committed.Restarts}}
}

// absorbReplacements commits the next attempt of the regions that were given up, on the slots that they had, and on
// those granted in place of lost ones.
func (e *Execution) absorbReplacements(granted []string) []Action {
	if e.stillRuns() {
		e.requested = false // they are asked for again when all has ended
		return nil
	}
	next := e.committed
	next.Assignment = slices.Clone(next.Assignment)
	for slot, name := range next.Assignment {
		if e.leaves(name) {
			if len(granted) == 0 {
				e.requested = false // one more died since
				return nil
			}
			next.Assignment[slot], granted = granted[0], granted[1:]
		}
	}
	next.Attempt++
	next.Regions = nil
	for r := range e.regions {
		next.Regions = append(next.Regions, e.committed.attempt(r))
	}
	for _, r := range next.GivenUp {
		next.Regions[r] = next.Attempt
	}
	next.GivenUp = nil
	return e.begins(next)
}

// stillRuns reports whether a part that was given up has not ended: it was given up after slots were asked for.
func (e *Execution) stillRuns() bool {
	return slices.ContainsFunc(e.parts, func(p part) bool {
		return e.givenUp(&p) && e.instance(p.Instance).mayRun(&p)
	})
}

// replaced makes a restarted region known: its subtasks begin anew, and its TaskManagers of before may forget it.
func (e *Execution) replaced(before Intent, parts []part) []Action {
	if e.committed.Attempt == before.Attempt {
		return nil
	}
	e.requested, e.missing, e.yields, e.last, e.moving = false, 0, false, false, moving{}
	e.checking, e.fits = false, false // slots may be fewer now
	actions := []Action{HoldSlots{Assignment: e.committed.Assignment}}
	var outputs []job.Output
	for i := range parts {
		p := &parts[i]
		if !slices.Contains(before.GivenUp, p.regions[0]) {
			continue
		}
		for _, id := range p.Subtasks {
			s := e.find(id)
			outputs = append(outputs, s.outputs...)
			*s = subtask{state: job.Deploying}
		}
		if e.instance(p.Instance).connected {
			actions = append(actions, Confirm{p.Part()})
		}
	}
	if len(outputs) > 0 && e.committed.Reserved == 0 { // else a checkpoint may name them (R13)
		actions = append(actions, Discard{Outputs: outputs})
	}
	return actions
}

func abortedAs(id job.CheckpointID, why string) string {
	return fmt.Sprintf("checkpoint %d: %s", id, why[:min(len(why), maxAbort)])
}
