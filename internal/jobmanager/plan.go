package jobmanager

import (
	"maps"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// replanPause is how long a plan waits after a TaskManager could not make it.
const replanPause = time.Second

// planning is a job that waits for its plan.
type planning struct {
	id      job.ID
	request job.ID // the change that it is for, or ""
	spec    job.Spec
	asked   string    // the instance that is planning, "" while none is
	avoid   string    // the instance that could not
	after   time.Time // not before
}

// planWanted: a job asks for its plan.
type planWanted struct {
	id      job.ID
	request job.ID
	spec    job.Spec
}

func (h planWanted) apply(r *registry) {
	r.plans = append(r.plans, &planning{id: h.id, request: h.request, spec: h.spec})
	r.dispatch()
}

// dispatch asks TaskManagers for the plans that nobody makes.
func (r *registry) dispatch() {
	for _, p := range r.plans {
		if p.asked != "" || time.Now().Before(p.after) {
			continue
		}
		if t := r.planner(p.avoid); t != nil {
			p.asked = t.instance
			t.session.post(r.header, rpc.Plan{Spec: p.spec, Request: p.request})
		}
	}
}

// planner is the usable TaskManager that makes fewest plans, the one to avoid only if there
// is no other.
func (r *registry) planner(avoid string) *taskManager {
	load := make(map[string]int)
	for _, p := range r.plans {
		load[p.asked]++
	}
	var best *taskManager
	for _, instance := range slices.Sorted(maps.Keys(r.managers)) {
		t := r.managers[instance]
		if !t.offers() {
			continue
		}
		if best == nil || best.instance == avoid || instance != avoid && load[instance] < load[best.instance] {
			best = t
		}
	}
	return best
}

// planned gives an answer to the job, or has another TaskManager try.
func (r *registry) planned(t *taskManager, m rpc.Planned) {
	i := slices.IndexFunc(r.plans, func(p *planning) bool { return p.id == m.Job && p.request == m.Request && p.asked == t.instance })
	if i < 0 {
		return
	}
	if p := r.plans[i]; m.Retry {
		r.log.Warn("a TaskManager could not plan a job; another will", "taskmanager", t.instance, "job", m.Job, "error", m.Error)
		p.asked, p.avoid, p.after = "", t.instance, time.Now().Add(replanPause)
		return
	}
	r.plans = slices.Delete(r.plans, i, i+1)
	r.tell(m.Job, execution.Planned{Request: m.Request, Graph: m.Graph, Error: m.Error})
}

// replan forgets that an instance, which is gone, was asked for plans.
func (r *registry) replan(instance string) {
	for _, p := range r.plans {
		if p.asked == instance {
			p.asked, p.avoid = "", instance
		}
	}
	r.dispatch()
}
