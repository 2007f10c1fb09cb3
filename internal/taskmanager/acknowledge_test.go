package taskmanager

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Acknowledgements outlive the leader that they were meant for: each next one is told them after the Report, until
// one says that the checkpoint, or a later one, is closed (R12). What is said about another attempt, or to
// another instance, changes nothing (R5, R2).
func TestAcknowledgementsAreHeld(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 2, Subtasks: []job.Subtask{{Index: 0}, {Index: 1}}}, slog.New(slog.DiscardHandler))
	tab.entry(partKey{id, 0}).current = newAttempt(p.deploy)
	tab.entry(partKey{id, 0}).current.process = p
	for index := range 2 { // headless: there is no leader that could be told
		told{p, rpc.Acknowledge{Acks: []job.Acknowledgement{{Checkpoint: 7, Subtask: job.Subtask{Index: index}}}}}.apply(tab)
	}
	leader := &link{out: make(chan letter, postBox)}
	held := func() int {
		tab.follow(leader, 3)
		_ = (<-leader.out).m.(rpc.Report)
		acknowledgements := 0
		for len(leader.out) > 0 {
			m := (<-leader.out).m.(rpc.Acknowledge)
			if m.Attempt != 2 || m.Acks[0].Checkpoint != 7 {
				t.Errorf("told %+v, want what attempt 2 contributed to checkpoint 7", m)
			}
			acknowledgements += len(m.Acks)
		}
		return acknowledgements
	}
	closed := rpc.Closed{Instance: tab.instance, Job: id, Attempt: 2, Checkpoint: 7}
	for _, c := range []struct {
		name  string
		say   rpc.Message
		holds int
	}{
		{"nothing was said", rpc.Heartbeat{}, 2},
		{"of another attempt", rpc.Closed{Instance: tab.instance, Job: id, Attempt: 1, Checkpoint: 7}, 2},
		{"to another instance", rpc.Closed{Instance: "tm-other", Job: id, Attempt: 2, Checkpoint: 7}, 2},
		{"of an earlier one", rpc.Closed{Instance: tab.instance, Job: id, Attempt: 2, Checkpoint: 6}, 2},
		{"of this one", closed, 0},
	} {
		tab.command(leader, c.say)
		if got := held(); got != c.holds {
			t.Errorf("closed %s: %d acknowledgements are held, want %d", c.name, got, c.holds)
		}
	}
	tab.command(leader, rpc.Trigger{Instance: tab.instance, Job: id, Attempt: 1, Checkpoint: 8})
	tab.command(leader, rpc.Trigger{Instance: tab.instance, Job: id, Attempt: 2, Checkpoint: 8})
	var orders []rpc.Message
	for len(p.orders) > 0 {
		orders = append(orders, <-p.orders)
	}
	if len(orders) != 3 || orders[1] != closed || orders[2].(rpc.Trigger).Attempt != 2 {
		t.Errorf("the task process is told %+v, want both closings of attempt 2 and its trigger", orders)
	}
}

// What is held is told in messages that can be sent, however much it is.
func TestAcknowledgementsFitIntoMessages(t *testing.T) {
	a := attemptOf()
	outputs := make([]job.OperatorOutput, 1000)
	for i := range outputs {
		outputs[i].Temp, outputs[i].Final = strings.Repeat("t", 200), strings.Repeat("f", 200)
	}
	for index := range 40 {
		a.acknowledge([]job.Acknowledgement{{Checkpoint: 7, Subtask: job.Subtask{Index: index}, Outputs: outputs}})
	}
	total := 0
	for _, acks := range a.held() {
		total += len(acks)
		b, err := json.Marshal(rpc.Acknowledge{Acks: acks})
		if err != nil || len(b) > rpc.MaxFrame/2 {
			t.Errorf("a message of %d bytes, %v", len(b), err)
		}
	}
	if total != 40 || len(a.held()) > 40 {
		t.Errorf("%d acknowledgements in %d messages, want 40 in at most as many", total, len(a.held()))
	}
}
