package jobmanager

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
)

// R16, row 23 of the faults: coordination that was restored to an earlier state is noticed by whoever claims an epoch that was
// in force before. Nobody leads until a person has seen to it, however often JobManagers start.
func TestRestoredCoordination(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	w.eventually("storage knows", func() bool { e, err := w.storage.Served(t.Context()); return err == nil && e == 1 })
	a.stop()
	<-a.done

	cluster, err := w.storage.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.coord = memory.New() // as it was before anybody had led, but for the incarnation
	store := w.coord.Open()
	defer store.Close()
	if err := w.storage.PutServed(t.Context(), 3); err != nil { // others have led since
		t.Fatal(err)
	}
	term, err := store.Claim(t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "of old"}, coordination.NewNonce())
	if err == nil {
		_, err = term.Commit(t.Context(), coordination.Create(incarnationKey, []byte(cluster)))
	}
	if err == nil {
		err = term.Resign(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // the third claims an epoch that never was
		n := w.start("jm-b")
		<-n.done
		var wrong *WrongClusterError
		if !errors.As(n.err, &wrong) || !strings.Contains(n.err.Error(), "epoch 2 could be claimed, and epoch 3 has been in force") {
			t.Fatalf("start %d: %v", i, n.err)
		}
	}
}

// A claim that somebody else was faster to follow is no regression.
func TestRegression(t *testing.T) {
	for _, c := range []struct{ served, seen, claimed, want coordination.Epoch }{
		{0, 0, 1, 0}, {3, 3, 4, 0}, {3, 4, 4, 4}, {3, 5, 4, 5}, {4, 3, 4, 4}, {7, 2, 3, 7},
	} {
		h := history{served: c.served, seen: c.seen}
		if got := h.regression(c.claimed); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	a.history.sees(9)
	l := a.leading.Load()
	store := w.coord.Open()
	defer store.Close()
	over, err := store.Leader(t.Context())
	if err == nil {
		_, err = store.Claim(t.Context(), over, coordination.Candidate{ID: "faster"}, coordination.NewNonce())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.checkHistory(); !errors.Is(err, coordination.ErrStaleEpoch) {
		t.Errorf("%v, want ErrStaleEpoch", err)
	}
}

// A storage that fails just then is told later that a leader has served, though coordination is away meanwhile.
func TestServedIsNotedLater(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	l := w.leader().leading.Load()
	told := func() bool { e, err := w.storage.Served(t.Context()); return err == nil && e == 1 }
	w.eventually("storage knows", told)
	served := filepath.Join(w.storage.Dir(), "served")
	w.move(served, served+".away")
	if err := os.WriteFile(served, nil, 0o600); err != nil { // no directory can be made
		t.Fatal(err)
	}
	if err := l.putServed(t.Context()); err == nil {
		t.Fatal("storage took it")
	}
	a.cut()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.note(l.ctx, api.Takeover{Epoch: 1})
	}()
	if err := os.Remove(served); err != nil {
		t.Fatal(err)
	}
	w.eventually("storage knows again", told)
	a.heal()
	<-done
}
