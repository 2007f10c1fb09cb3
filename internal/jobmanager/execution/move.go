package execution

import (
	"fmt"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// moving is what an Execution knows of its move away from TaskManagers that are drained. The next leader begins anew
// with what is left to move.
type moving struct {
	seeks    int              // slots that RequestSlots is out for; 0: it is not
	reserved []string         // the instances of those that were granted
	after    job.CheckpointID // what moves is given up once this checkpoint is closed; 0: none was chosen yet
}

// displaced are the regions that have a part on TaskManagers that are drained, and the number of slots there; force says
// that one of those waits for nothing.
func (e *Execution) displaced() (regions []int, slots int, why loss, force bool) {
	for i := range e.parts {
		p := &e.parts[i]
		in := e.instance(p.Instance)
		if !in.draining || in.dead || e.givenUp(p) {
			continue
		}
		why = loss{fmt.Sprintf("TaskManager %s is drained", p.Instance), true}
		regions, force = union(regions, p.regions), force || in.force
	}
	for _, name := range e.committed.Assignment {
		if in := e.instance(name); in.draining && !in.dead {
			slots++
		}
	}
	return regions, slots, why, force
}

// move takes the next step of a move: slots are reserved while all runs, then a checkpoint is taken, then the regions are
// given up, and mend starts them again. A stop that is under way is not disturbed: the job is about to end.
func (e *Execution) move() []Action {
	regions, slots, why, force := e.displaced()
	switch {
	case len(regions) == 0 || len(e.committed.GivenUp) > 0 || e.lastWord():
		return nil
	case force:
		return e.restart(regions, why)
	case !e.hasReserved(slots):
		return e.reserveSlots(slots)
	case !e.allRunning() || !e.checkpointed():
		return nil
	}
	return e.giveUp(regions, why)
}

// hasReserved reports whether so many slots are reserved, on TaskManagers that can be used.
func (e *Execution) hasReserved(slots int) bool {
	return slots > 0 && len(e.reserved) == slots && !slices.ContainsFunc(e.reserved, func(name string) bool {
		i := e.instance(name)
		return i.dead || i.draining
	})
}

// reserveSlots asks for slots beside all that the job has, which it keeps until what is there has ended.
func (e *Execution) reserveSlots(slots int) []Action {
	if e.seeks == slots {
		return nil
	}
	e.moving = moving{seeks: slots}
	return []Action{RequestSlots{Slots: slots, Kept: e.committed.Assignment, Move: true}}
}

// absorbReserved notes slots that were asked for a move.
func (e *Execution) absorbReserved(granted []string) {
	if e.seeks == len(granted) {
		e.seeks, e.missing, e.reserved = 0, 0, granted
	}
}

// checkpointed reports whether a checkpoint was closed since there are slots. One that is under way will do, and
// otherwise one is due. If it fails, the newest there is will do.
func (e *Execution) checkpointed() bool {
	if e.after == 0 {
		e.after = e.committed.Open
	}
	if e.after == 0 {
		e.due, e.after = true, e.committed.Reserved+1
	}
	return e.committed.Reserved >= e.after && e.committed.Open != e.after
}

// leaves reports whether slots on an instance are given up with what was there: it is dead, or drained and nothing of the
// job is left there.
func (e *Execution) leaves(name string) bool {
	i := e.instance(name)
	return i.dead || i.draining && !slices.ContainsFunc(e.parts, func(p part) bool { return p.Instance == name && !e.givenUp(&p) })
}
