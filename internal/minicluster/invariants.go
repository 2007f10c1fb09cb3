package minicluster

import (
	"fmt"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// attempt is one execution of a job.
type attempt struct {
	job    job.ID
	number job.Attempt
}

// violations looks for breaches of what holds whatever fails, by the numbers of
// docs/failover-protocol.md. Each test ends with it. It goes by what happened and hardly by when:
// an event is noted a moment after it has taken effect.
func violations(events []Event) []string {
	var v violated
	v.epochs(events)
	v.decisions(events)
	v.commands(events)
	v.seen(events)
	return v
}

type violated []string

func (v *violated) found(rule, format string, args ...any) {
	*v = append(*v, rule+": "+fmt.Sprintf(format, args...))
}

// epochs: each is claimed once, and is one more than the last (I1).
func (v *violated) epochs(events []Event) {
	last := coordination.Epoch(0)
	for _, e := range events {
		if e.Kind != Claimed {
			continue
		}
		if e.Epoch != last+1 {
			v.found("I1", "%s has claimed epoch %d after %d", e.Process, e.Epoch, last)
		}
		last = e.Epoch
	}
}

// ofCheckpoint tells whether a decision about a running attempt opens or closes a checkpoint.
func ofCheckpoint(before, now execution.Intent) bool {
	return before.Phase == execution.Running && now.Phase == execution.Running && before.Attempt == now.Attempt && (before.Reserved != now.Reserved || before.Open != now.Open)
}

// decisions: an attempt is begun once, and none is left out (I3); a job ends once (I9).
func (v *violated) decisions(events []Event) {
	begun, ends, highest := map[attempt]int{}, map[job.ID]int{}, map[job.ID]job.Attempt{}
	last := map[job.ID]execution.Intent{}
	for _, e := range events {
		if e.Kind != Decided {
			continue
		}
		id := e.Job()
		highest[id] = max(highest[id], e.Intent.Attempt)
		before := last[id]
		last[id] = e.Intent
		switch {
		case ofCheckpoint(before, e.Intent): // while it runs
		case e.Intent.Phase == execution.Running:
			begun[attempt{id, e.Intent.Attempt}]++
		case e.Intent.Phase.Terminal():
			ends[id]++
		}
	}
	for id, n := range highest {
		for number := job.Attempt(1); number <= n; number++ {
			if times := begun[attempt{id, number}]; times != 1 {
				v.found("I3", "attempt %d of job %s was begun %d times", number, id, times)
			}
		}
		if ends[id] > 1 {
			v.found("I9", "job %s has ended %d times", id, ends[id])
		}
	}
}

// commands: what is deployed was committed, and what is stopped or confirmed was given up or has
// ended by a commit (R3).
func (v *violated) commands(events []Event) {
	begun, over := map[attempt]bool{}, map[attempt]bool{}
	for _, e := range events {
		if e.Kind == Decided {
			a := attempt{e.Job(), e.Intent.Attempt}
			begun[a] = begun[a] || e.Intent.Phase == execution.Running
			over[a] = over[a] || e.Intent.Phase != execution.Running && e.Intent.Phase != execution.Publishing
		}
	}
	for _, e := range events {
		id, number := about(e.Message)
		switch e.Message.(type) {
		case rpc.Deploy:
			if !begun[attempt{id, number}] {
				v.found("R3", "%s deploys attempt %d of job %s, which nobody has committed", e.Process, number, id)
			}
		case rpc.Stop, rpc.Confirm:
			if !over[attempt{id, number}] {
				v.found("R3", "%s sends %s for attempt %d of job %s, whose end nobody has committed", e.Process, e.Message.Kind(), number, id)
			}
		}
	}
}

// seen: the highest epoch that a TaskManager has seen never falls (I4).
func (v *violated) seen(events []Event) {
	seen := map[string]coordination.Epoch{}
	for _, e := range events {
		if e.Kind != Sent || e.Instance == "" || partOf(e.Process)[:2] != "tm" {
			continue
		}
		link := e.Instance + " " + e.To
		if e.Epoch < seen[link] && e.Message.Kind() != (rpc.Register{}).Kind() {
			v.found("I4", "%s has seen epoch %d and then says %d", e.Instance, seen[link], e.Epoch)
		}
		seen[link] = max(seen[link], e.Epoch)
	}
}
