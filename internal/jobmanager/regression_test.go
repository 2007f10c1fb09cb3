package jobmanager

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
)

// restored puts a coordination into the world in which epoch 1 was in force, with these keys besides, and tells storage of epochs up to served.
func (w *world) restored(served uint64, keys map[string]string) {
	w.t.Helper()
	incarnation, err := w.storage.CreateIncarnation(w.t.Context(), "c1") // or the one that it has
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.storage.PutServed(w.t.Context(), served); err != nil {
		w.t.Fatal(err)
	}
	store := w.coord.Open()
	defer store.Close()
	term, err := store.Claim(w.t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "of old"}, coordination.NewNonce())
	if err == nil {
		_, err = term.Commit(w.t.Context(), coordination.Create(incarnationKey, []byte(incarnation)))
	}
	for key, value := range keys {
		if err == nil {
			_, err = term.Commit(w.t.Context(), coordination.Create(key, []byte(value)))
		}
	}
	if err == nil {
		err = term.Resign(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// That something else cannot be read does not let a JobManager claim until the epoch is as high as none before.
func TestRestoredCoordinationThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.restored(2, map[string]string{taskManagersPrefix + "tm-1": "{"})
	n := w.start("jm-a")
	w.eventually("it ends", func() bool {
		select {
		case <-n.done:
			return true
		default:
			return false
		}
	})
	if wrong, is := errors.AsType[*WrongClusterError](n.err); !is || !strings.Contains(wrong.Error(), "epoch 2 could be claimed, and epoch 2 has been in force") {
		t.Errorf("Run: %v", n.err)
	}
}

// forgetful answers nothing to the first commits.
type forgetful struct {
	coordination.Term
	failures int
	lands    bool // what is not answered is committed
}

func (f *forgetful) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	if f.failures--; f.failures < 0 {
		return f.Term.Commit(ctx, ops...)
	}
	if f.lands {
		if _, err := f.Term.Commit(ctx, ops...); err != nil {
			return nil, err
		}
	}
	return nil, coordination.ErrUnknown
}

// A coordination that does not answer is told again that it was restored.
func TestRestoredIsCommittedLater(t *testing.T) {
	for _, lands := range []bool{false, true} {
		term := claimed(t)
		if _, err := term.Commit(t.Context(), coordination.Create(incarnationKey, []byte("c1"))); err != nil {
			t.Fatal(err)
		}
		l := &leader{
			JobManager: &JobManager{history: history{served: 1}}, ctx: t.Context(), log: newWorld(t).logger(), term: newPausable(&forgetful{term, 2, lands}),
		}
		err := l.checkHistory()
		if _, is := errors.AsType[*WrongClusterError](err); !is {
			t.Errorf("lands %t: %v", lands, err)
		}
		if e, err := term.Get(t.Context(), incarnationKey); err != nil || !strings.HasPrefix(string(e.Value), restoredMark) {
			t.Errorf("lands %t: coordination says %q, %v", lands, e.Value, err)
		}
	}
}

// R16, row 23 of the faults: coordination that was restored to an earlier state is noticed by whoever claims an epoch that was
// in force before. Nobody leads until a person has seen to it, however often JobManagers start.
func TestRestoredCoordination(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	w.eventually("storage knows", func() bool { e, err := w.storage.Served(t.Context()); return err == nil && e == 1 })
	a.stop()
	<-a.done

	w.coord = memory.New() // as it was when one had led
	w.restored(3, nil)
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
