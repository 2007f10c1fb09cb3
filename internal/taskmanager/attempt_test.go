package taskmanager

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

func said(index int, state job.State) rpc.SubtaskReport {
	return rpc.SubtaskReport{Subtask: job.Subtask{Index: index}, State: state}
}

func attemptOf(states ...job.State) *attempt {
	a := &attempt{job: "j", number: 1}
	for i, s := range states {
		a.subtasks = append(a.subtasks, said(i, s))
	}
	return a
}

func states(subtasks []rpc.SubtaskReport) string {
	var s []string
	for _, r := range subtasks {
		s = append(s, string(r.State))
	}
	return strings.Join(s, " ")
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name          string
		have          *attempt
		say           rpc.SubtaskReport
		then, changed string
	}{
		{"runs", attemptOf(job.Deploying, job.Deploying), said(1, job.Running), "DEPLOYING RUNNING", "RUNNING"},
		{"ends", attemptOf(job.Running, job.Running), said(0, job.Finished), "FINISHED RUNNING", "FINISHED"},
		{"final stays", attemptOf(job.Failed), said(0, job.Running), "FAILED", ""},
		{"not deployed here", attemptOf(job.Running), said(5, job.Finished), "RUNNING", ""},
		{"no state of a subtask", attemptOf(job.Running), said(0, "FLYING"), "RUNNING", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := c.have.merge([]rpc.SubtaskReport{c.say})
			if states(c.have.subtasks) != c.then || states(changed) != c.changed {
				t.Errorf("%s, changed %q; want %s, changed %q", states(c.have.subtasks), states(changed), c.then, c.changed)
			}
		})
	}
}

func TestClose(t *testing.T) {
	a := attemptOf(job.Finished, job.Running, job.Deploying)
	a.close(exited{failure: "process 7 was killed\nline of stderr", late: "late"})
	if states(a.subtasks) != "FINISHED FAILED FAILED" {
		t.Error(states(a.subtasks))
	}
	if a.subtasks[1].Failure != "process 7 was killed\nline of stderr" || a.subtasks[2].Failure != "process 7 was killed" {
		t.Errorf("failures %q and %q", a.subtasks[1].Failure, a.subtasks[2].Failure)
	}
	a = attemptOf(job.Finished, job.Running)
	if changed := a.close(exited{}); states(a.subtasks) != "FINISHED CANCELED" || states(changed) != "CANCELED" {
		t.Errorf("%s, changed %s", states(a.subtasks), states(changed))
	}
}

// A failure is the attempt's own only when there is no subtask to blame it on.
func TestCloseLate(t *testing.T) {
	for _, c := range []struct {
		have *attempt
		late string
		want string
	}{
		{attemptOf(job.Finished, job.Finished), "late", "late"},
		{attemptOf(job.Finished, job.Finished), "", ""}, // it was told to end
		{attemptOf(job.Finished, job.Failed), "late", ""},
		{attemptOf(job.Finished, job.Running), "late", ""},
	} {
		before := states(c.have.subtasks)
		c.have.close(exited{failure: "early", late: c.late})
		if got := c.have.report().Failure; got != c.want {
			t.Errorf("%s: the attempt's failure is %q, want %q", before, got, c.want)
		}
	}
}

// However many subtasks fail with however much text, a Report can be sent.
func TestFailuresFitIntoAReport(t *testing.T) {
	a := attemptOf()
	for i := range 1000 {
		a.subtasks = append(a.subtasks, said(i, job.Running))
		s := said(i, job.Failed)
		s.Failure = strings.Repeat("\x01", 1<<20) // six bytes each, as JSON
		a.merge([]rpc.SubtaskReport{s})
	}
	a.failure = strings.Repeat("\x01", maxFailures+1)
	r := []rpc.AttemptReport{a.report()}
	shortenFailures(r)
	total := 6 * len(r[0].Failure)
	for _, s := range r[0].Subtasks {
		total += 6 * len(s.Failure)
	}
	if total > rpc.MaxFrame {
		t.Errorf("failures of %d bytes; a message has at most %d", total, rpc.MaxFrame)
	}
	if len(a.subtasks[999].Failure) < maxFailure {
		t.Error("what is held was shortened, too")
	}
}
