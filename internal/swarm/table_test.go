package swarm

import (
	"reflect"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestAnswers: what a TaskManager of the swarm says is what one says that runs something: evidence names the attempt (R5), a promise is
// kept (R6), and a contribution is held until its checkpoint is closed (R12).
func TestAnswers(t *testing.T) {
	const id = job.ID("1")
	var (
		subtasks = []job.Subtask{{Index: 3}}
		deploy   = func(n job.Attempt) rpc.Deploy {
			return rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: n, Subtasks: subtasks}
		}
		runs = func(n job.Attempt) rpc.AttemptReport {
			return rpc.AttemptReport{Job: id, Attempt: n, PID: 4711, Subtasks: []rpc.SubtaskReport{{Subtask: subtasks[0], State: job.Running}}}
		}
		report  = func(all ...rpc.AttemptReport) rpc.Message { return rpc.Report{Attempts: all} }
		stopped = func(n job.Attempt) rpc.Message { return rpc.Stopped{Job: id, Attempt: n} }
		acks    = func(n job.Attempt, c job.CheckpointID) rpc.Message {
			return rpc.Acknowledge{Job: id, Attempt: n, Acks: []job.Acknowledgement{{Checkpoint: c, Subtask: subtasks[0], States: []job.StateHandle{state}}}}
		}
	)
	all := newTable()
	for _, c := range []struct {
		name string
		said rpc.Message
		want []rpc.Message
	}{
		{"it has nothing", rpc.Lead{}, []rpc.Message{report()}},
		{"it runs what is deployed", deploy(2), []rpc.Message{rpc.Status{AttemptReport: runs(2)}}},
		{"which comes again", deploy(2), []rpc.Message{rpc.Status{AttemptReport: runs(2)}}},
		{"an attempt before it", deploy(1), []rpc.Message{stopped(1)}},
		{"an end of the one before", rpc.Stop{Job: id, Attempt: 1}, []rpc.Message{stopped(1)}},
		{"a confirmation of the one before", rpc.Confirm{Job: id, Attempt: 1}, nil},
		{"it runs still", rpc.Lead{}, []rpc.Message{report(runs(2))}},
		{"a trigger for another attempt", rpc.Trigger{Job: id, Attempt: 1, Checkpoint: 7}, nil},
		{"a trigger", rpc.Trigger{Job: id, Attempt: 2, Checkpoint: 7}, []rpc.Message{acks(2, 7)}},
		{"the trigger again", rpc.Trigger{Job: id, Attempt: 2, Checkpoint: 7}, nil},
		{"the next leader hears of it", rpc.Lead{}, []rpc.Message{report(runs(2)), acks(2, 7)}},
		{"a checkpoint of another attempt is closed", rpc.Closed{Job: id, Attempt: 1, Checkpoint: 7}, nil},
		{"it is held still", rpc.Lead{}, []rpc.Message{report(runs(2)), acks(2, 7)}},
		{"it is closed", rpc.Closed{Job: id, Attempt: 2, Checkpoint: 7}, nil},
		{"and forgotten", rpc.Lead{}, []rpc.Message{report(runs(2))}},
		{"its end", rpc.Stop{Job: id, Attempt: 2}, []rpc.Message{stopped(2)}},
		{"a promise", deploy(2), []rpc.Message{stopped(2)}},
		{"the next attempt", deploy(3), []rpc.Message{rpc.Status{AttemptReport: runs(3)}}},
	} {
		if got := all.answer(c.said); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if got := all.progress(); len(got) != 1 || len(got[0].(rpc.Progress).Counters) != 1 || got[0].(rpc.Progress).Attempt != 3 {
		t.Errorf("it tells %+v", got)
	}
}
