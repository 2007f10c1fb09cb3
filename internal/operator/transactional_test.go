package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// notary is a TransactionalWriter that writes down what it is asked for.
type notary struct {
	mu      sync.Mutex
	lines   []string
	present []string
	fail    func(c string) error // of Commit; nil: none
}

func (n *notary) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// said returns what came since the last call, and forgets it.
func (n *notary) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := strings.Join(n.lines, ", ")
	n.lines = nil
	return lines
}

func (n *notary) Recover(named []Committable) error {
	n.say("recover %s", named)
	return nil
}

func (n *notary) Write(records []string) error {
	n.present = append(n.present, records...)
	return nil
}

func (n *notary) Flush() error { return nil }

func (n *notary) Prepare() (Committable, error) {
	c := strings.Join(n.present, "")
	n.present = nil
	return Committable(c), nil
}

func (n *notary) Commit(_ context.Context, c Committable) error {
	if n.fail != nil {
		if err := n.fail(string(c)); err != nil {
			n.say("fail %s", c)
			return err
		}
	}
	n.say("commit %s", c)
	return nil
}

func (n *notary) Abort() error { n.say("abort %s", strings.Join(n.present, "")); return nil }
func (n *notary) Close() error { n.say("close"); return nil }

// transacted is a subtask that is nothing but a transactional sink.
type transacted struct {
	t *testing.T
	*notary
	*Wiring
	sink   Receiver[string]
	states []Snapshot
}

// newTransacted wires one that continues from checkpoint id, whose states these are.
func newTransacted(t *testing.T, n *notary, cfg ContextConfig, id job.CheckpointID, states ...Restored) *transacted {
	t.Helper()
	s := &transacted{t: t, notary: n, Wiring: NewWiring(t.Context(), cfg)}
	s.OnCheckpoint(func(p Prepared) { s.states = p.Snapshots })
	if id > 0 {
		s.Restore(id, map[string][]Restored{"out": states}, nil, nil)
	}
	var err error
	if s.sink, err = Transactional(s.Wiring, "out", n, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *transacted) write(records ...string) {
	s.t.Helper()
	if err := s.sink.Batch(records); err != nil {
		s.t.Fatal(err)
	}
}

// barrier takes a checkpoint, and returns the committables in its state.
func (s *transacted) barrier(id job.CheckpointID) []string {
	s.t.Helper()
	if err := s.Checkpoint(id, s.sink.Event); err != nil {
		s.t.Fatal(err)
	}
	return s.named(s.states)
}

func (s *transacted) named(states []Snapshot) []string {
	s.t.Helper()
	list := []string{}
	err := state.ReadPiece(Restored{Handle: states[0].Handle, Data: states[0].Data}, mustCodec[prepared](s.t), func(values []prepared) error {
		for _, v := range values {
			list = append(list, string(v.Committable))
		}
		return nil
	})
	if err != nil || len(states) != 1 || states[0].Handle.State != committables || states[0].Handle.Kind != job.CommittablesState {
		s.t.Fatalf("the state: %v, %+v", err, states)
	}
	return list
}

// expect waits until the committer has nothing to do, and compares what was said.
func (s *transacted) expect(when, want string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.said(); got != want {
		s.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, append([]string{}, want...)) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (s *transacted) closeSinks() {
	s.t.Helper()
	for _, sink := range s.Sinks() {
		if err := sink.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// TestTransactionsOfCheckpoints: what is prepared is named in each checkpoint until it is committed, and is committed
// once one of them is completed, in order.
func TestTransactionsOfCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTransacted(t, &notary{}, ContextConfig{}, 0)
		defer s.closeSinks()
		s.expect("at first", "recover []")
		s.write("a")
		same(t, "checkpoint 1", s.barrier(1), "a")
		s.write("b")
		same(t, "checkpoint 2", s.barrier(2), "a", "b") // 1 was aborted
		same(t, "checkpoint 3", s.barrier(3), "a", "b") // nothing came
		s.Completed(0)                                  // Closed of an aborted one names no other
		s.expect("before any is completed", "")
		s.write("c")
		s.Completed(2)
		s.expect("2 is completed", "commit a, commit b")
		same(t, "checkpoint 4", s.barrier(4), "c")
		s.Completed(2)
		s.expect("2 again", "")
		s.Completed(4)
		s.expect("4 is completed", "commit c")
		same(t, "checkpoint 5", s.barrier(5))
	})
}

// TestTransactionsAreRecovered: a subtask is told all that the checkpoint names, and commits its share.
func TestTransactionsAreRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []Restored
		for i := range 3 {
			s := newTransacted(t, &notary{}, ContextConfig{Subtask: i, Parallelism: 3}, 0)
			s.write(fmt.Sprintf("x%d", i))
			s.barrier(7)
			states = append(states, Restored{Handle: s.states[0].Handle, Subtask: i, Data: s.states[0].Data})
			s.closeSinks()
		}
		for i, want := range []string{"commit x0, commit x2", "commit x1"} {
			s := newTransacted(t, &notary{}, ContextConfig{Subtask: i, Parallelism: 2, Attempt: 2}, 7, states...)
			s.write("y")
			s.expect("restored", "recover [x0 x1 x2], "+want)
			same(t, "the next checkpoint", s.barrier(8), "y")
			s.closeSinks()
			s.expect("closed", "close")
		}
	})
}

// TestCommitIsTriedAgain, after growing waits, and those behind it wait.
func TestCommitIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := 3
		s := newTransacted(t, &notary{fail: func(c string) error {
			if fails--; c == "a" && fails >= 0 {
				return errors.New("away")
			}
			return nil
		}}, ContextConfig{}, 0)
		defer s.closeSinks()
		s.write("a")
		s.barrier(1)
		s.write("b")
		s.barrier(2)
		s.Completed(2)
		s.expect("at once", "recover [], fail a")
		same(t, "checkpoint 3 names both", s.barrier(3), "a", "b")
		if err := s.Sinks()[0].Settle(); err != nil { // the clock is the test's: it goes on while all wait
			t.Fatal(err)
		}
		s.expect("after the waits", "fail a, fail a, commit a, commit b")
	})
}

// TestLostTransaction fails the subtask at its next barrier, or at its end.
func TestLostTransaction(t *testing.T) {
	tests := []struct {
		name string
		fail func(string) error
		want string
	}{
		{"lost", func(string) error { return fmt.Errorf("timed out: %w", ErrTransactionLost) }, "timed out"},
		{"panic", func(string) error { panic("out of order") }, "out of order"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newTransacted(t, &notary{fail: test.fail}, ContextConfig{}, 0)
			defer s.closeSinks()
			s.write("a")
			s.barrier(1)
			s.Completed(1)
			synctest.Wait()
			if err := s.Checkpoint(2, s.sink.Event); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: the next checkpoint: %v, want %q", test.name, err, test.want)
			}
			if err := s.Sinks()[0].Settle(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: the end: %v, want %q", test.name, err, test.want)
			}
		})
	}
}

// TestTooManyTransactions: a system that is away is waited for, but not for ever.
func TestTooManyTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTransacted(t, &notary{fail: func(string) error { return errors.New("away") }}, ContextConfig{}, 0)
		defer s.closeSinks()
		var err error
		id := job.CheckpointID(0)
		for err == nil && id < 2*maxPrepared {
			id++
			s.write("a")
			err = s.Checkpoint(id, s.sink.Event)
			s.Completed(id)
			synctest.Wait()
		}
		if err == nil || !strings.Contains(err.Error(), "away") || id != maxPrepared+1 {
			t.Errorf("after %d checkpoints: %v, want an error that tells why nothing is committed", id, err)
		}
	})
}

// TestEndOfTransactions: the last transaction waits for a checkpoint that the subtask takes part in after its end.
func TestEndOfTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTransacted(t, &notary{}, ContextConfig{}, 0)
		sink := s.Sinks()[0]
		s.write("a")
		s.barrier(1)
		s.write("b")
		if _, err := sink.Finish(); err != nil {
			t.Fatal(err)
		}
		settled := make(chan error, 1)
		go func() { settled <- sink.Settle() }()
		s.Completed(1)
		s.expect("1 is completed", "recover [], commit a")
		p, ok, err := s.Final(2)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		same(t, "the last checkpoint", s.named(p.Snapshots), "b")
		if len(settled) > 0 {
			t.Error("settled before its checkpoint is completed")
		}
		s.Completed(2)
		if err := <-settled; err != nil {
			t.Error(err)
		}
		s.expect("2 is completed", "commit b")
		if err := sink.Abort(); err != nil { // another subtask fails now
			t.Error(err)
		}
		s.closeSinks()
		s.expect("at last", "close")
	})
}

// TestTransactionsWithoutCheckpoints are prepared when all have come to the end, or rolled back.
func TestTransactionsWithoutCheckpoints(t *testing.T) {
	for want, end := range map[string]func(Finisher) error{
		"recover [], commit ab, close": Finisher.Settle,
		"recover [], abort ab, close":  Finisher.Abort,
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &notary{}
			w := NewWiring(t.Context(), ContextConfig{})
			in, err := Transactional(w, "out", n, 0)
			if err == nil {
				err = in.Batch([]string{"a", "b"})
			}
			if err != nil {
				t.Fatal(err)
			}
			sink := w.Sinks()[0]
			if _, err := sink.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(end(sink), sink.Close()); err != nil {
				t.Fatal(err)
			}
			if got := n.said(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
