package jobmanager

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Every change of leader is in the list, whoever is asked afterwards, with why it was made and what was found.
func TestFailovers(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.ClaimDelay = func() time.Duration { return 50 * time.Millisecond } } // coordination in memory is faster than a socket
	a := w.start("jm-a")
	w.leader()
	tm := w.taskManager("tm-1", 2)
	tm.start()
	w.await(w.submit(a), job.Running)
	b := w.start("jm-b")
	w.standbyOf(a, b)
	if err := a.StepDown(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.eventually("the standby leads", func() bool { return b.serving.Load() != nil })
	w.standbyOf(b, a)
	w.eventually("its change is written", func() bool {
		list, _, err := b.leading.Load().failovers(t.Context())
		return err == nil && len(list) == 2
	})
	b.kill()
	w.eventually("the first leads again", func() bool { return a.serving.Load() != nil })

	var list []api.Takeover
	w.eventually("the changes are listed", func() bool {
		var err error
		list, err = a.Failovers(t.Context())
		return err == nil && len(list) == 3
	})
	for i, want := range []struct {
		leader, previous string
		cause            api.Cause
		jobs             int
	}{{"jm-a", "jm-b", api.CauseConnection, 1}, {"jm-b", "jm-a", api.CauseStepDown, 1}, {"jm-a", "", api.CauseFirst, 0}} {
		got := list[i]
		if got.Epoch != coordination.Epoch(3-i) || got.Leader != want.leader || got.Previous != want.previous || got.Cause != want.cause ||
			got.Jobs != want.jobs || got.Subtasks != want.jobs*4 || got.Redeployed != 0 || got.Unheard != 0 {
			t.Errorf("got %+v, want %+v", got, want)
		}
		at := []float64{0, got.ClaimMillis, got.ReadMillis, got.AskedMillis, got.AdoptedMillis}
		for i := range at[1:] {
			if at[i] > at[i+1] {
				t.Errorf("epoch %d: moments %v do not follow one another", got.Epoch, at)
			}
		}
	}
}

// A subtask that runs nowhere any more is deployed again under its attempt, and that is told.
func TestFailoverTellsWhatWasMissing(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	tm := w.taskManager("tm-1", 2)
	tm.start()
	w.await(w.submit(a), job.Running)
	b := w.start("jm-b")
	w.standbyOf(a, b)
	tm.mu.Lock()
	clear(tm.attempts)
	tm.mu.Unlock()
	a.kill()
	w.eventually("the standby leads", func() bool { return b.serving.Load() != nil })
	list, err := b.Failovers(t.Context())
	if err != nil || len(list) == 0 || list[0].Redeployed != 4 || list[0].Subtasks != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// The list is bounded, and one that cannot be read is begun anew.
func TestFailoversAreBounded(t *testing.T) {
	for name, was := range map[string]string{"full": "", "unreadable": "{"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.start("jm-a")
			w.leader()
			w.taskManager("tm-1", 2).start()
			l := a.leading.Load()
			w.eventually("the first is written", func() bool {
				_, version, err := l.failovers(t.Context())
				if err != nil || version == coordination.NoVersion {
					return false
				}
				value := []byte(was)
				if was == "" {
					var err error
					if value, err = json.Marshal(make([]api.Takeover, failoversKept)); err != nil {
						t.Fatal(err)
					}
				}
				_, err = l.term.Commit(t.Context(), coordination.Set(failoversKey, value, version))
				return err == nil
			})
			b := w.start("jm-b")
			w.standbyOf(a, b)
			a.kill()
			w.eventually("the standby leads", func() bool { return b.serving.Load() != nil })
			w.eventually("the change is written", func() bool {
				list, _, err := b.leading.Load().failovers(t.Context())
				n := len(list)
				return err == nil && n > 0 && list[n-1].Epoch == 2 && (was == "") == (n == failoversKept)
			})
		})
	}
}

// A list that a newer release wrote in a form of its own is left alone, and asking for it says so.
func TestFailoversOfANewerRelease(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	l := a.leading.Load()
	newer := []byte(`{"format":2}`)
	w.eventually("the first is written, and replaced", func() bool {
		_, version, err := l.failovers(t.Context())
		if err == nil && version != coordination.NoVersion {
			_, err = l.term.Commit(t.Context(), coordination.Set(failoversKey, newer, version))
			return err == nil
		}
		return false
	})
	l.remember(t.Context(), api.Takeover{Epoch: 1})
	if e, err := l.term.Get(t.Context(), failoversKey); err != nil || !bytes.Equal(e.Value, newer) {
		t.Errorf("it is %s now, %v", e.Value, err)
	}
	if list, err := a.Failovers(t.Context()); code(err) != api.Conflict || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("%v, %v", list, err)
	}
}

// What a leader shows of itself is its own takeover, and not that of a term that it led before.
func TestTakeoverIsOfTheTerm(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	l := w.leader().leading.Load()
	<-l.settled
	for epoch, shown := range map[coordination.Epoch]bool{1: true, 2: false} {
		a.takeover.Store(&api.Takeover{Epoch: epoch})
		if list, err := a.JobManagers(t.Context()); err != nil || (list[0].Takeover != nil) != shown {
			t.Errorf("of epoch %d: %+v, %v", epoch, list, err)
		}
	}
}

// What a leader says as it hands over explains the end of that leadership, whatever is noticed of it, and of no other: not of a later one of
// its own.
func TestVacancies(t *testing.T) {
	gone, refuses := suspicion{api.CauseSession, "its session ended"}, suspicion{api.CauseConnection, "its port refuses connections"}
	for _, noticed := range []suspicion{gone, refuses} {
		var v vacancies
		v.released(4, rpc.Released{Reason: "an operator"})
		for _, other := range []coordination.Epoch{3, 5, 6} {
			v.note(coordination.Leadership{Epoch: other, ID: "jm-b"}, noticed)
			if got := v.before(other + 1); got.suspicion != noticed {
				t.Errorf("of epoch %d: %+v", other, got)
			}
		}
		v.note(coordination.Leadership{Epoch: 4, ID: "jm-a"}, noticed)
		if got := v.before(5); got.cause != api.CauseStepDown || got.previous != "jm-a" || got.at.After(time.Now()) {
			t.Errorf("%+v", got)
		}
		if got := v.before(7); got.cause != api.CauseUnknown {
			t.Errorf("of an epoch that was not noticed: %+v", got)
		}
	}
}

// A leader hears later why the one before had gone, and its own session may end before it has told so.
func TestVacancyIsExplainedLater(t *testing.T) {
	var v vacancies
	v.note(coordination.Leadership{Epoch: 4, ID: "jm-a"}, suspicion{api.CauseSession, "its session ended"})
	was := v.before(5).suspicion
	v.released(4, rpc.Released{Reason: "an operator"})
	if got := v.explain(5, was); got.cause != api.CauseStepDown {
		t.Errorf("what the one before said since: %+v", got)
	}
	v.note(coordination.Leadership{Epoch: 5, ID: "jm-b"}, suspicion{api.CauseSession, "its session ended"})
	if got := v.explain(5, was); got != was {
		t.Errorf("after the end of this leader's own session: %+v, want %+v", got, was)
	}
}
