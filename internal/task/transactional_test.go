package task_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/task"
)

// diary is a transactional writer, and a test's view of it and of its subtask.
type diary struct {
	mu      sync.Mutex
	present string
	lines   []string
	lost    bool // no transaction can be committed any more
}

func (d *diary) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// expect compares what was said since the last call, once all that can happen has happened.
func (d *diary) expect(t *testing.T, when, want string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := strings.Join(d.lines, ", "); got != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
	d.lines = nil
}

func (d *diary) Recover([]operator.Committable) error { return nil }
func (d *diary) Flush() error                         { return nil }
func (d *diary) Abort() error                         { d.say("abort %s", d.present); return nil }
func (d *diary) Close() error                         { d.say("close"); return nil }

func (d *diary) Write(numbers []int) error {
	for _, n := range numbers {
		d.present += fmt.Sprint(n)
	}
	return nil
}

func (d *diary) Prepare() (operator.Committable, error) {
	c := operator.Committable(d.present)
	d.present = ""
	return c, nil
}

func (d *diary) Commit(_ context.Context, c operator.Committable) error {
	if d.lost {
		return fmt.Errorf("commit %s: %w", c, operator.ErrTransactionLost)
	}
	d.say("commit %s", c)
	return nil
}

func (d *diary) report(r rpc.SubtaskReport) {
	switch {
	case r.Settling:
		d.say("settling")
	case r.Committed > 0:
		d.say("committed up to %d", r.Committed)
	default:
		d.say("%s", strings.TrimSpace(string(r.State)+" "+r.Failure))
	}
}

func (d *diary) acknowledge(ack job.Acknowledgement) {
	d.say("acknowledge %d finished=%t", ack.Checkpoint, ack.Finished)
}

// start starts a subtask that reads numbers until the channel is closed, and writes them in transactions.
func (d *diary) start(t *testing.T, numbers <-chan int, checkpoints *task.Checkpoints) *task.Execution {
	t.Helper()
	read := func(w *operator.Wiring, _, out any) (operator.Driver, error) {
		list := func(_ context.Context, emit func(int) error) error {
			for n := range numbers {
				if err := emit(n); err != nil {
					return err
				}
			}
			return nil
		}
		return operator.NewSplits(w, "read", list, out.(operator.Receiver[int])), nil
	}
	write := &operator.Node{Name: "write", Chain: func(w *operator.Wiring, _ any) (any, error) {
		return operator.Transactional(w, "write", d, 0)
	}}
	x, err := task.Start(t.Context(), &operator.Plan{
		Graph: &job.Graph{Name: "diary", MaxParallelism: 1, Bounded: true, Vertices: []job.Vertex{{Name: "all", Parallelism: 1}}},
		Heads: []*operator.Node{{Name: "read", Out: operator.CarrierOf[int](), Read: read, Next: []*operator.Node{write}}},
	}, task.Assignment{Slots: []int{0}, Report: d.report, Checkpoints: checkpoints})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestCommittedWhenCompleted: a transaction is committed when a checkpoint that names it is completed, not when one is closed
// by an abort; and the subtask has FINISHED when its last one is committed.
func TestCommittedWhenCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, numbers := &diary{}, make(chan int)
		x := d.start(t, numbers, &task.Checkpoints{Acknowledge: d.acknowledge})
		numbers <- 1
		d.expect(t, "at first", "RUNNING")
		x.Trigger(1, 0, false)
		d.expect(t, "at the barrier", "acknowledge 1 finished=false")
		x.Closed(1, 0, false, false)
		d.expect(t, "1 is aborted", "")
		numbers <- 2
		synctest.Wait()
		x.Trigger(2, 0, false)
		d.expect(t, "at the barrier", "acknowledge 2 finished=false")
		x.Closed(2, 2, false, false)
		d.expect(t, "2 is completed", "commit 1, commit 2")
		numbers <- 3
		close(numbers)
		d.expect(t, "at the end of the input", "settling")
		x.Closed(2, 2, false, false)
		d.expect(t, "once more", "")
		x.Trigger(3, 0, false)
		d.expect(t, "the last checkpoint", "acknowledge 3 finished=true")
		x.Closed(3, 3, false, false)
		d.expect(t, "it is completed", "commit 3, close, FINISHED")
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestCommittedBeforeAStop: what the checkpoint of a stop names is committed, which is said, and nothing is that comes
// after it; unless the stop fails.
func TestCommittedBeforeAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, numbers := &diary{}, make(chan int)
		x := d.start(t, numbers, &task.Checkpoints{Acknowledge: d.acknowledge})
		numbers <- 1
		d.expect(t, "at first", "RUNNING")
		x.Trigger(1, 0, true)
		d.expect(t, "at the barrier", "acknowledge 1 finished=false")
		numbers <- 2
		close(numbers)
		d.expect(t, "it is silent", "")
		x.Closed(1, 1, false, false)
		d.expect(t, "1 is completed", "commit 1, committed up to 1")
		x.Closed(1, 1, false, true)
		d.expect(t, "the stop failed", "settling")
		x.Trigger(2, 0, false)
		d.expect(t, "the last checkpoint", "acknowledge 2 finished=true")
		x.Closed(2, 2, false, false)
		d.expect(t, "it is completed", "commit 2, close, FINISHED")
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestLostBeforeAStop: a transaction that can never be committed has failed the subtask, and nobody cancelled it.
func TestLostBeforeAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, numbers := &diary{lost: true}, make(chan int)
		x := d.start(t, numbers, &task.Checkpoints{Acknowledge: d.acknowledge})
		numbers <- 1
		d.expect(t, "at first", "RUNNING")
		x.Trigger(1, 0, true)
		d.expect(t, "at the barrier", "acknowledge 1 finished=false")
		x.Closed(1, 1, false, false)
		close(numbers)
		d.expect(t, "1 is completed", `abort , close, FAILED operator "write", subtask 0: commit: commit 1: a prepared transaction is lost`)
		if err := x.Wait(); err == nil {
			t.Error("it has not failed")
		}
	})
}

// TestCommittedAtTheEnd of the job, where there are no checkpoints.
func TestCommittedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, numbers := &diary{}, make(chan int)
		x := d.start(t, numbers, nil)
		numbers <- 1
		d.expect(t, "at first", "RUNNING")
		close(numbers)
		d.expect(t, "at the end", "commit 1, close, FINISHED")
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}
