package minicluster

import (
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// A check that finds nothing anywhere would be of no use.
func TestViolationsAreFound(t *testing.T) {
	claim := func(n coordination.Epoch) Event { return Event{Kind: Claimed, Process: "jm-1", Epoch: n} }
	decide := func(phase execution.Phase, n job.Attempt) Event {
		return Event{Kind: Decided, Process: "jm-1", Intent: execution.Intent{Spec: job.Spec{ID: "j"}, Phase: phase, Attempt: n}}
	}
	send := func(m rpc.Message) Event {
		return Event{Kind: Sent, Process: "jm-1", To: "tm-1", Instance: "i", Message: m}
	}
	say := func(seen coordination.Epoch) Event {
		return Event{Kind: Sent, Process: "tm-1", To: "jm-1", Instance: "i", Epoch: seen, Message: rpc.Report{}}
	}
	deploy := func(n job.Attempt) Event { return send(rpc.Deploy{Spec: job.Spec{ID: "j"}, Attempt: n}) }
	confirm := send(rpc.Confirm{Job: "j", Attempt: 1})

	for _, c := range []struct {
		name   string
		events []Event
		want   string // the rules that are broken
	}{
		{"a whole life", []Event{claim(1), decide(execution.Created, 0), decide(execution.Running, 1), deploy(1), say(1), claim(2), say(2),
			decide(execution.Publishing, 1), decide(execution.Finished, 1), confirm}, ""},
		{"an epoch twice", []Event{claim(1), claim(1)}, "I1"},
		{"an epoch left out", []Event{claim(1), claim(3)}, "I1"},
		{"an attempt twice", []Event{decide(execution.Running, 1), decide(execution.Running, 1)}, "I3"},
		{"an attempt left out", []Event{decide(execution.Running, 2)}, "I3"},
		{"an end twice", []Event{decide(execution.Running, 1), decide(execution.Canceled, 1), decide(execution.Finished, 1)}, "I9"},
		{"deployed uncommitted", []Event{decide(execution.Created, 0), deploy(1)}, "R3"},
		{"confirmed uncommitted", []Event{decide(execution.Running, 1), decide(execution.Publishing, 1), confirm}, "R3"},
		{"an epoch forgotten", []Event{say(2), say(1)}, "I4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rules []string
			for _, found := range violations(c.events) {
				rule, _, _ := strings.Cut(found, ":")
				rules = append(rules, rule)
			}
			if got := strings.Join(slices.Compact(rules), " "); got != c.want {
				t.Errorf("found %q, want %q", violations(c.events), c.want)
			}
		})
	}
}
