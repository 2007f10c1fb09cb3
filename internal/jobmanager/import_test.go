package jobmanager

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/metadata"
)

// A cluster moves to an empty coordination under a running job, whose task is adopted; nobody leads the old one after it.
func TestMove(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	b := w.start("jm-b")
	tm := w.taskManager("tm-1", 2)
	tm.start()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	w.standbyOf(a, b)
	backup, err := a.Export(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if h, _, err := metadata.Read(backup.File); err != nil || h.Final || h.Epoch != 1 {
		t.Errorf("backup: %+v, %v", h, err)
	}
	last, err := a.Export(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	header, entries, err := metadata.Read(last.File)
	if err != nil || !header.Final || len(entries) != 2 || last.Location == "" {
		t.Fatalf("last export: %+v with %d entries at %q, %v", header, len(entries), last.Location, err)
	}
	for _, n := range []*node{a, b} {
		<-n.done
		if _, moved := errors.AsType[*MovedError](n.err); !moved || !strings.Contains(n.err.Error(), last.Location) {
			t.Errorf("%s ended with %v", n.cfg.ID, n.err)
		}
		n.err = nil
	}

	old := w.coord
	w.coord = memory.New()
	if _, _, err := w.storage.PutImport(t.Context(), last.File); err != nil {
		t.Fatal(err)
	}
	c, d := w.start("jm-c"), w.start("jm-d")
	w.eventually("the job is adopted", func() bool {
		for _, n := range []*node{c, d} {
			if j, err := n.Job(t.Context(), id); err == nil && j.State == job.Running && n.Self().Epoch > header.Epoch+skippedFinal {
				return true
			}
		}
		return false
	})
	if n := tm.did("deploys attempt 1 slots [0 1]"); n != 1 {
		t.Errorf("deployed %d times", n)
	}
	if _, err := w.storage.Import(t.Context()); err == nil {
		t.Error("the import is still in storage")
	}
	w.coord = old
	e := w.start("jm-e")
	<-e.done
	if _, moved := errors.AsType[*MovedError](e.err); !moved {
		t.Errorf("in the place that the cluster has left: %v", e.err)
	}
	e.err = nil
}

// A last export that is asked for as the term ends by itself is answered, and the cluster stays.
func TestLastExportOfATermThatIsOver(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	l := a.leading.Load()
	w.usurp()
	w.leader()
	w.eventually("the term is over", func() bool { return a.serving.Load() != l })
	w.eventually("answered", func() bool { // its goroutines may not have ended yet
		_, err := l.leaveHere(t.Context())
		return code(err) == api.Unavailable
	})
	w.eventually("it leads again, and exports", func() bool { _, err := a.Export(t.Context(), false); return err == nil })
}

// Standbys hear of the leader until its last export is made, however long that takes: one that took over in between would refuse it.
func TestLastExportTakesItsTime(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.taskManager("tm-1", 1).start()
	w.leader()
	b := w.start("jm-b")
	w.standbyOf(a, b)
	l := a.leading.Load()
	a.cut() // it waits for coordination
	long := monotonic() + 3*a.cfg.HeartbeatTimeout
	answer := make(chan error, 1)
	go func() { _, err := l.leaveHere(context.Background()); answer <- err }()
	w.eventually("longer than standbys wait", func() bool {
		heard := slices.ContainsFunc(a.connections.listStandbys(), func(s *session) bool { return time.Duration(s.heard.Load()) > long })
		return heard || b.leading.Load() != nil
	})
	a.heal()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	for _, n := range []*node{a, b} {
		n.stop()
		<-n.done
		n.err = nil
	}
}

// An importer that dies in between is followed by one that goes on; what is elsewhere is refused.
func TestImportGoesOn(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	w.submit(a)
	last, err := a.Export(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	<-a.done
	a.err = nil
	_, entries, err := metadata.Read(last.File)
	if err != nil {
		t.Fatal(err)
	}
	w.coord = memory.New()
	store := w.coord.Open() // one that claimed, committed an entry, and died
	term, err := store.Claim(t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "died"}, coordination.NewNonce())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.Commit(t.Context(), coordination.Create(entries[0].Key, []byte("half")), coordination.Create("jobs/of another import/intent", nil)); err != nil {
		t.Fatal(err)
	}
	store.Close()
	if _, _, err := w.storage.PutImport(t.Context(), last.File); err != nil {
		t.Fatal(err)
	}
	b := w.start("jm-b")
	w.eventually("the job is known", func() bool { jobs, err := b.Jobs(t.Context()); return err == nil && len(jobs) == 1 })
	again, err := b.Export(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	_, now, err := metadata.Read(again.File)
	same := func(a, b metadata.Entry) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }
	if err != nil || !slices.EqualFunc(now, entries, same) {
		t.Errorf("imported %q, want %q", now, entries)
	}
	if _, _, err := w.storage.PutImport(t.Context(), again.File); err != nil {
		t.Fatal(err)
	}
	b.stop()
	<-b.done
	c := w.start("jm-c")
	<-c.done
	if _, wrong := errors.AsType[*WrongClusterError](c.err); !wrong || !strings.Contains(c.err.Error(), "not empty") {
		t.Errorf("into a place that is not empty: %v", c.err)
	}
	c.err = nil
}

// Metadata that were left to be imported where the cluster lives keep no JobManager from standing by: else the leader would have
// no successor, and nobody would know.
func TestImportWhereTheClusterLives(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.taskManager("tm-1", 1).start()
	w.leader()
	backup, err := a.Export(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.storage.PutImport(t.Context(), backup.File); err != nil {
		t.Fatal(err)
	}
	b := w.start("jm-b")
	w.standbyOf(a, b)
	a.kill()
	w.leader(a)
	if _, err := w.storage.Import(t.Context()); err != nil {
		t.Error("what nobody has imported is gone: ", err)
	}
}

// readTwice takes no two moments for one.
func TestExportIsOfOneMoment(t *testing.T) {
	store := memory.New().Open()
	defer store.Close()
	term, err := store.Claim(t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "a"}, coordination.NewNonce())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.Commit(t.Context(), coordination.Create("jobs/1/intent", []byte("1"))); err != nil {
		t.Fatal(err)
	}
	for _, changes := range []int{0, 3, exportTries} {
		busy := &busyTerm{Term: term, changes: changes}
		entries, err := readTwice(t.Context(), busy, newWorld(t).storage)
		if changes == exportTries {
			if err == nil || !strings.Contains(err.Error(), "not of one moment") {
				t.Errorf("of what never rests: %v", err)
			}
			continue
		}
		if now, gone := term.Get(t.Context(), "jobs/1/intent"); gone != nil || err != nil || len(entries) != 1 || string(entries[0].Value) != string(now.Value) {
			t.Errorf("after %d changes: %q, %v", changes, entries, err)
		}
	}
}

// A cluster that never rests is exported all the same: its commits wait for a moment.
func TestExportOfABusyCluster(t *testing.T) {
	slow := &tardyTerm{Term: claimed(t), committed: make(chan struct{}, 1)}
	term := newPausable(slow)
	versions, err := term.Commit(t.Context(), coordination.Create("jobs/1/intent", []byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	var busy sync.WaitGroup
	over, stop := context.WithCancel(t.Context())
	busy.Go(func() {
		for over.Err() == nil {
			var err error
			if versions, err = term.Commit(t.Context(), coordination.Set("jobs/1/intent", []byte("{}"), versions[0])); err != nil {
				t.Error(err)
				return
			}
			select {
			case slow.committed <- struct{}{}:
			case <-over.Done():
			}
		}
	})
	entries, err := readStill(t.Context(), term, newWorld(t).storage)
	if err != nil || len(entries) != 1 {
		t.Errorf("%q, %v", entries, err)
	}
	stop()
	busy.Wait()
}

// tardyTerm takes as long for a list as another commit does, if any comes.
type tardyTerm struct {
	coordination.Term
	committed chan struct{}
}

func (s *tardyTerm) List(ctx context.Context, prefix string) ([]coordination.Entry, error) {
	list, err := s.Term.List(ctx, prefix)
	for range 2 { // one may have been made before
		select {
		case <-s.committed:
		case <-time.After(50 * time.Millisecond):
		}
	}
	return list, err
}

// busyTerm commits something after each list.
type busyTerm struct {
	coordination.Term
	changes int
}

func (b *busyTerm) List(ctx context.Context, prefix string) ([]coordination.Entry, error) {
	list, err := b.Term.List(ctx, prefix)
	if b.changes > 0 && err == nil && prefix == jobsPrefix {
		b.changes--
		_, err = b.Term.Commit(ctx, coordination.Set(list[0].Key, append(list[0].Value, '1'), list[0].Version))
	}
	return list, err
}
