package jobmanager

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// Counters alone are shown each showEvery, and none is forgotten; anything else is shown at once.
func TestCountersAreShownAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leader{ctx: t.Context(), log: slog.New(slog.DiscardHandler), JobManager: &JobManager{}}
		o := newOwner(l, execution.Intent{Spec: job.Spec{ID: job.NewID()}}, coordination.Entry{})
		o.exec = execution.New(o.intent, nil, nil)
		counters, other := []parcel{{event: execution.Progressed{}}}, []parcel{{event: execution.Progressed{}}, {event: execution.Began{}}}
		shows := func(parcels []parcel) (shown bool, later <-chan time.Time) {
			before := o.view.Load()
			later = o.showPaced(parcels)
			return o.view.Load() != before, later
		}
		time.Sleep(showEvery) // of the bubble's clock
		if shown, later := shows(counters); !shown || later != nil {
			t.Error("the first are not shown")
		}
		shown, later := shows(counters)
		if shown || later == nil {
			t.Fatal("the next are shown at once")
		}
		if shown, later := shows(other); !shown || later != nil {
			t.Error("what came with others is not shown at once")
		}
		began := time.Now()
		if _, later = shows(counters); later == nil {
			t.Fatal("the next are shown at once")
		}
		<-later
		if took := time.Since(began); took != showEvery { // of the bubble's clock
			t.Errorf("they are to be shown after %v", took)
		}
		if shown, _ := shows(nil); !shown {
			t.Error("what was put off is not shown")
		}
	})
}
