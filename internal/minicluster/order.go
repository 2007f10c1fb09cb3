package minicluster

import (
	"cmp"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// order puts the lines of a step into an order that does not depend on chance: by the length of
// the longest chain of causes that leads to a line, and by names. What causes what is known from
// the protocol alone (leadsTo), so lines that came about side by side stay side by side, however
// the machine has interleaved them this time.
func order(lines []line) []line {
	for i := range lines {
		for _, earlier := range lines[:i] {
			if leadsTo(&earlier, &lines[i]) {
				lines[i].level = max(lines[i].level, earlier.level+1)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.level, b.level), strings.Compare(a.from, b.from), strings.Compare(a.to, b.to), strings.Compare(a.text, b.text))
	})
	return lines
}

// leadsTo reports whether b, which came later, follows from a by the protocol.
func leadsTo(a, b *line) bool {
	if a.from == b.from && a.to == b.to && a.to != "" || a.kind == b.kind && a.subject == b.subject && a.to == "" && b.to == "" {
		return true // one after the other, over one connection or under one key
	}
	claimed := a.kind == "claimed" && a.from == b.from
	sameSubject := a.subject == b.subject
	switch b.kind {
	case "register": // TaskManagers wait for the first leader, and for no other
		return a.text == "claims epoch 1"
	case "recorded": // it has registered, or was lost
		return claimed || sameSubject && a.kind == "register"
	case "decided": // from all that is known about the job, and of who is there
		return claimed || a.kind == "recorded" || a.to == b.from && (sameSubject || a.kind == "report" && asks(b.phase))
	case "fenced":
		return a.kind == "claimed"
	case "greeting":
		return a.kind == "claimed" && a.from == b.to
	case "lead", "refused":
		return claimed || sameSubject && (a.kind == "register" && a.to == b.from || a.kind == "recorded")
	case "report":
		return sameSubject && a.kind == "lead"
	case "plan", "deploy", "stop", "confirm": // a command, once it is decided, or known to be missing
		return a.kind == "decided" && sameSubject && entails(a.phase, b.kind) && (a.attempt == b.attempt || b.kind == "plan") ||
			a.kind == "report" && a.to == b.from && (a.from == b.to || b.kind == "plan")
	case "planned", "status", "stopped": // an answer
		return sameSubject && a.to == b.from
	}
	return false
}

// asks reports whether a phase is entered because of what TaskManagers have reported.
func asks(p execution.Phase) bool {
	switch p {
	case execution.Running, execution.Publishing, execution.Failing, execution.Restarting:
		return true
	}
	return false
}

// entails reports whether a command is sent because a phase was committed.
func entails(p execution.Phase, command string) bool {
	switch p {
	case execution.Created:
		return command == "plan" || command == "confirm"
	case execution.Running:
		return command == "deploy"
	case execution.Failing, execution.Cancelling, execution.Restarting:
		return command == "stop"
	}
	return command == "confirm" && p.Terminal()
}
