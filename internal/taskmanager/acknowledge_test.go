package taskmanager

import (
	"log/slog"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Acknowledgements outlive the leader that they were meant for: each next one finds them in its Report, until
// one says that the checkpoint, or a later one, is closed (R12). What is said about another attempt, or to
// another instance, changes nothing (R5, R2).
func TestAcknowledgementsAreHeld(t *testing.T) {
	id := job.NewID()
	tab := newTable(&node{log: slog.New(slog.DiscardHandler)}, 0)
	defer tab.kill()
	p := newProcess(tab.alive, rpc.Deploy{Spec: job.Spec{ID: id}, Attempt: 2})
	tab.entry(id).current = &attempt{job: id, number: 2, process: p}
	for index := range 2 { // headless: there is no leader that could be told
		told{p, rpc.Acknowledge{Ack: job.Acknowledgement{Checkpoint: 7, Subtask: job.Subtask{Index: index}}}}.apply(tab)
	}
	leader := &link{out: make(chan letter, postBox)}
	held := func() int {
		tab.follow(leader, 3)
		return len((<-leader.out).m.(rpc.Report).Attempts[0].Acknowledged)
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
