package taskmanager

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Bounds on the text of failures: a Report must fit into one message, in which a byte
// may take six.
const (
	maxFailure   = 10 << 10 // bytes for one subtask
	maxFirstLine = 512
	maxFailures  = 256 << 10 // bytes in one Report; beyond it each is cut to shortText
	shortText    = 64
)

// attempt is what this TaskManager runs, or holds until a leader confirms it, of one attempt
// of a region. The table owns it.
type attempt struct {
	job       job.ID
	region    int
	number    job.Attempt
	process   *process // nil once it has ended
	pid       int      // 0 while there is no process
	subtasks  []rpc.SubtaskReport
	failure   string // how the process ended although all subtasks had finished; else ""
	killed    bool   // that was the work of a signal
	confirmed bool   // to be forgotten as soon as the process has ended

	// acks are held until their checkpoint is closed (R12), by subtask: the newest of each.
	acks map[job.Subtask]job.Acknowledgement
}

// acknowledge holds what subtasks contribute to a checkpoint. Only one is open at a time, so the
// newest replaces the others.
func (a *attempt) acknowledge(acks []job.Acknowledgement) {
	if a.acks == nil {
		a.acks = map[job.Subtask]job.Acknowledgement{}
	}
	for _, ack := range acks {
		a.acks[ack.Subtask] = ack
	}
}

// ackBatch is about how large the acknowledgements in one message are together, in bytes as JSON.
const ackBatch = 1 << 20

// held returns the acknowledgements, in parts that each fit into a message.
func (a *attempt) held() (parts [][]job.Acknowledgement) {
	size := ackBatch
	for _, ack := range a.acks {
		if size >= ackBatch {
			parts, size = append(parts, nil), 0
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], ack)
		size += 200
		for _, s := range ack.States {
			size += 200 + 2*len(s.Data) + len(s.File)
		}
		for _, o := range ack.Outputs {
			size += 50 + len(o.Operator) + len(o.Temp) + len(o.Final)
		}
	}
	return parts
}

// closed forgets acknowledgements, and passes the news on.
func (a *attempt) closed(m rpc.Closed) {
	for s, ack := range a.acks {
		if ack.Checkpoint <= m.Checkpoint {
			delete(a.acks, s)
		}
	}
	failpoint.TaskManagerCloses.Reached()
	a.say(m)
}

// say sends a message to the task process, if there is one. It does not wait.
func (a *attempt) say(m rpc.Message) {
	if a.process != nil {
		a.process.say(m)
	}
}

func newAttempt(d rpc.Deploy) *attempt {
	a := &attempt{job: d.Spec.ID, region: d.Region, number: d.Attempt}
	for _, s := range d.Subtasks {
		a.subtasks = append(a.subtasks, rpc.SubtaskReport{Subtask: s, State: job.Deploying})
	}
	return a
}

// checkDeploy refuses what cannot be executed or reported on.
func checkDeploy(d rpc.Deploy) error {
	if _, err := job.ParseID(string(d.Spec.ID)); err != nil {
		return err
	}
	if d.Region < 0 {
		return fmt.Errorf("region %d; regions count from 0", d.Region)
	}
	if d.Attempt == 0 {
		return errors.New("attempt 0; attempts count from 1")
	}
	if len(d.Subtasks) == 0 {
		return fmt.Errorf("attempt %d names no subtasks", d.Attempt)
	}
	return nil
}

func (a *attempt) running() bool { return a.process != nil }

// end asks the process to end, and has it killed when it does not. It does not wait.
func (a *attempt) end() {
	if a.process != nil {
		a.process.end()
	}
}

// report tells all of the attempt; the caller may keep it.
func (a *attempt) report() rpc.AttemptReport {
	return a.reportOf(slices.Clone(a.subtasks))
}

func (a *attempt) reportOf(subtasks []rpc.SubtaskReport) rpc.AttemptReport {
	return rpc.AttemptReport{Job: a.job, Region: a.region, Attempt: a.number, PID: a.pid, Subtasks: subtasks, Failure: a.failure, Killed: a.killed}
}

// merge takes over what the task process says about its subtasks and returns what changed.
// A final state stays, and a subtask that was not deployed here is not believed.
func (a *attempt) merge(said []rpc.SubtaskReport) (changed []rpc.SubtaskReport) {
	for _, s := range said {
		i := a.find(s.Subtask)
		if i < 0 || a.subtasks[i].State.Terminal() || !known(s.State) {
			continue
		}
		s.Failure = head(s.Failure, maxFailure)
		a.subtasks[i] = s
		changed = append(changed, s)
	}
	return changed
}

func (a *attempt) find(s job.Subtask) int {
	return slices.IndexFunc(a.subtasks, func(r rpc.SubtaskReport) bool { return r.Subtask == s })
}

func finished(subtasks []rpc.SubtaskReport) []rpc.SubtaskReport {
	return slices.DeleteFunc(subtasks, func(s rpc.SubtaskReport) bool { return s.State != job.Finished })
}

func known(s job.State) bool {
	return s == job.Deploying || s == job.Running || s.Terminal()
}

// close notes that the process has ended. It ends the subtasks that were not final: they FAILED,
// or without a failure they were CANCELED, and returns what changed. The whole text, which may
// have the tail of standard error, is told once; the other subtasks get its first line. If all had
// FINISHED, the failure, told as late, is the attempt's.
func (a *attempt) close(end exited) (changed []rpc.SubtaskReport) {
	if a.finished() {
		a.failure, a.killed = head(end.late, maxFailure), end.killed
		return nil
	}
	failure := head(end.failure, maxFailure)
	for i := range a.subtasks {
		s := &a.subtasks[i]
		if s.State.Terminal() {
			continue
		}
		s.State = job.Canceled
		if failure != "" {
			s.State, s.Failure, s.Killed = job.Failed, failure, end.killed
			failure, _, _ = strings.Cut(failure, "\n")
			failure = head(failure, maxFirstLine)
		}
		changed = append(changed, *s)
	}
	return changed
}

// finished reports whether every subtask has FINISHED.
func (a *attempt) finished() bool {
	return !slices.ContainsFunc(a.subtasks, func(s rpc.SubtaskReport) bool { return s.State != job.Finished })
}

// shortenFailures cuts the failures of a report that together are too long for a message.
func shortenFailures(attempts []rpc.AttemptReport) {
	total := 0
	shorten := func(failure *string) {
		total += len(*failure)
		if total > maxFailures {
			*failure = head(*failure, shortText)
		}
	}
	for i := range attempts {
		shorten(&attempts[i].Failure)
		for k := range attempts[i].Subtasks {
			shorten(&attempts[i].Subtasks[k].Failure)
		}
	}
}

// head is the beginning of s, at most n bytes of it.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + " …"
}
