package connectortest

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/connector"
)

func ledger(t *testing.T) Fixture[int] {
	dir := t.TempDir()
	return Fixture[int]{
		Sink: entries[int](dir), Record: func(i int) int { return i },
		Visible: func() ([]int, error) {
			l, err := OpenLedger(dir)
			if err != nil {
				return nil, err
			}
			return Committed[int](l)
		},
	}
}

func TestLedger(t *testing.T) { Transactional(t, ledger) }

// faulty is a ledger's writer of which one method is wrong.
type faulty struct {
	*entryWriter[int]
	fault string
}

type faultySink struct {
	entries[int]
	fault string
}

func (s faultySink) Begin(ctx *connector.Context) (connector.TransactionalWriter[int], error) {
	w, err := s.entries.Begin(ctx)
	return &faulty{entryWriter: w.(*entryWriter[int]), fault: s.fault}, err
}

func (w *faulty) Recover(named []connector.Committable) error {
	switch w.fault {
	case "recovers nothing":
		return nil
	case "rolls back what is named":
		return w.entryWriter.Recover(nil)
	case "rolls back everybody's":
		for _, state := range []string{isOpen, isPrepared} {
			names, _ := w.ledger.transactions(state)
			for _, name := range names {
				if !slices.ContainsFunc(named, func(c connector.Committable) bool { return string(c) == name }) {
					os.Remove(w.ledger.path(state, name))
				}
			}
		}
		return nil
	}
	return w.entryWriter.Recover(named)
}

func (w *faulty) Prepare() (connector.Committable, error) {
	c, err := w.entryWriter.Prepare()
	switch {
	case w.fault == "commits when it prepares" && len(c) > 0:
		return c, errors.Join(err, w.Commit(context.Background(), c))
	case w.fault == "prepares nothing":
		return nil, err
	}
	return c, err
}

func (w *faulty) Commit(ctx context.Context, c connector.Committable) error {
	switch w.fault {
	case "cannot commit twice":
		return w.ledger.move(string(c), isPrepared, isCommitted)
	case "hides what is lost":
		err := w.entryWriter.Commit(ctx, c)
		if errors.Is(err, connector.ErrTransactionLost) {
			return nil
		}
		return err
	case "commits by copying":
		if text, err := os.ReadFile(w.ledger.path(isPrepared, string(c))); err == nil {
			return os.WriteFile(w.ledger.path(isCommitted, string(c)+"-"+w.current), text, 0o666)
		}
	}
	return w.entryWriter.Commit(ctx, c)
}

func (w *faulty) Abort() error {
	if w.fault == "aborts what is prepared" {
		names, _ := w.ledger.transactions(isPrepared)
		for _, name := range names {
			os.Remove(w.ledger.path(isPrepared, name))
		}
	}
	return w.entryWriter.Abort()
}

func (w *faulty) Close() error {
	if w.fault == "commits when it closes" {
		names, _ := w.ledger.transactions(isPrepared)
		for _, name := range names {
			w.entryWriter.Commit(context.Background(), connector.Committable(name))
		}
	}
	return w.entryWriter.Close()
}

// TestSuiteFindsFaults: what is wrong with a sink is found by the check that is for it.
func TestSuiteFindsFaults(t *testing.T) {
	tests := []struct{ fault, check string }{
		{"recovers nothing", "LostIsSaid"},
		{"rolls back what is named", "CommittedByTheNextAttempt"},
		{"rolls back everybody's", "RecoverLeavesOthers"},
		{"commits when it prepares", "InvisibleUntilCommitted"},
		{"prepares nothing", "InvisibleUntilCommitted"},
		{"cannot commit twice", "CommittedAgain"},
		{"hides what is lost", "LostIsSaid"},
		{"commits by copying", "CommittedAgain"},
		{"aborts what is prepared", "AbortKeepsWhatIsPrepared"},
		{"commits when it closes", "CloseKeepsWhatIsPrepared"},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			all := checks[int]()
			i := slices.IndexFunc(all, func(c check[int]) bool { return c.name == test.check })
			f := ledger(t)
			f.Sink = faultySink{f.Sink.(entries[int]), test.fault}
			b := &bench[int]{Fixture: f}
			defer b.close()
			if err := all[i].run(b); err == nil {
				t.Errorf("%s finds nothing", test.check)
			}
		})
	}
	for _, fault := range []string{"rolls back what is named", "commits when it prepares", "cannot commit twice", "commits by copying"} {
		err := dieEverywhere(func() Fixture[int] {
			f := ledger(t)
			f.Sink = faultySink{f.Sink.(entries[int]), fault}
			return f
		})
		if err == nil {
			t.Errorf("a run that dies everywhere does not find that the sink %s", fault)
		}
	}
}
