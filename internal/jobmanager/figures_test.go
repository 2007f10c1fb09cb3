package jobmanager

import (
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/api"
)

// TestRecent: what has ended is told of for a while, and of a flood of jobs only the newest are.
func TestRecent(t *testing.T) {
	now := time.Now()
	ended := func(ago time.Duration) *api.Job {
		at := now.Add(-ago)
		return &api.Job{Summary: api.Summary{Finished: &at}}
	}
	running, long, just := &api.Job{}, ended(endedKept), ended(endedKept-time.Second)
	if got := recent([]*api.Job{running, long, just, long}, now); len(got) != 2 || got[0] != just || got[1] != running {
		t.Errorf("got %v, want the one that ended just now and the running one", got)
	}
	jobs := []*api.Job{running, just}
	for range endedMost {
		jobs = append(jobs, ended(time.Second))
	}
	if got := recent(jobs, now); len(got) != endedMost+1 || got[endedMost] != running {
		t.Errorf("%d jobs, want the %d newest that ended and the running one", len(got), endedMost)
	}
}
