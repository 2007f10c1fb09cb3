package jobmanager

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// want is a job that waits for slots.
type want struct {
	id      job.ID
	slots   int
	kept    []string // the instances of those that it has
	moves   bool     // and runs on, all of it
	missing int      // as its owner was told
	yields  bool     // its owner was told to
}

// slotsWanted: a job asks for slots beside those that it keeps, instead of what it asked for before.
type slotsWanted struct {
	id    job.ID
	slots int
	kept  []string
	moves bool
}

func (h slotsWanted) apply(r *registry) {
	r.hold(h.id, h.kept)
	r.wants = append(r.wants, &want{id: h.id, slots: h.slots, kept: h.kept, moves: h.moves})
	r.allot()
}

// slotsHeld: a job holds the slots of its committed assignment, and wants no others.
type slotsHeld struct {
	id         job.ID
	assignment []string
}

func (h slotsHeld) apply(r *registry) {
	r.hold(h.id, h.assignment)
	r.allot()
}

// hold makes these the slots of a job, whatever it had and wanted.
func (r *registry) hold(id job.ID, assignment []string) {
	r.claims[id] = assignment
	delete(r.reserved, id)
	r.wants = slices.DeleteFunc(r.wants, func(w *want) bool { return w.id == id })
}

// released: a job wants and holds nothing any more.
type released struct{ id job.ID }

func (h released) apply(r *registry) {
	r.hold(h.id, nil)
	delete(r.claims, h.id)
	r.plans = slices.DeleteFunc(r.plans, func(p *planning) bool { return p.id == h.id })
	r.allot()
}

// allot gives slots to the jobs that wait, in order. A job that wants more than there are
// holds up none behind it.
func (r *registry) allot() {
	if len(r.wants) == 0 {
		return
	}
	free := r.free()
	r.wants = slices.DeleteFunc(r.wants, func(w *want) bool {
		assignment, missing := spread(free, w.slots)
		if missing > 0 {
			if w.missing != missing {
				r.log.Info("the job waits for slots", "job", w.id, "needed", w.slots, "missing", missing)
				w.missing = missing
				r.tell(w.id, execution.SlotsMissing{Missing: missing})
			}
			return false
		}
		r.claims[w.id] = slices.Concat(w.kept, assignment)
		if w.moves {
			r.reserved[w.id] = len(assignment)
		}
		told := make(map[string]bool)
		for _, instance := range assignment {
			free[instance]--
			if !told[instance] { // its owner has not heard of this TaskManager yet
				told[instance] = true
				r.tell(w.id, execution.Ready{Instance: instance})
			}
		}
		r.tell(w.id, execution.SlotsGranted{Assignment: assignment})
		return true
	})
	for _, w := range yielding(r.wants, free) {
		if !w.yields {
			w.yields = true
			r.tell(w.id, execution.Yield{})
		}
	}
}

// yielding ends a wait of jobs for one another. Of those that keep slots of what runs while they want more (for what does not), it returns
// the youngest, as many as have to give theirs up for the oldest to go on; none if that were not enough.
func yielding(wants []*want, free map[string]int) []*want {
	var keep []*want
	for _, w := range wants {
		if len(w.kept) > 0 && !w.moves {
			keep = append(keep, w)
		}
	}
	free = maps.Clone(free)
	for i := len(keep) - 1; i > 0; i-- {
		for _, instance := range keep[i].kept {
			if _, usable := free[instance]; usable {
				free[instance]++
			}
		}
		if _, missing := spread(free, keep[0].slots); missing == 0 {
			return keep[i:]
		}
	}
	return nil
}

// checkSlots: a job asks whether it could have so many slots instead of those that it has.
type checkSlots struct {
	id      job.ID
	request job.ID
	slots   int
}

func (h checkSlots) apply(r *registry) {
	free := r.free()
	for _, instance := range r.claims[h.id] {
		if _, usable := free[instance]; usable {
			free[instance]++
		}
	}
	_, missing := spread(free, h.slots)
	r.tell(h.id, execution.SlotsChecked{Request: h.request, Missing: missing})
}

// free counts the free slots of each TaskManager that can be used.
func (r *registry) free() map[string]int {
	free := make(map[string]int)
	for _, m := range r.managers {
		if m.offers() {
			free[m.instance] = m.record.Slots
		}
	}
	for _, claim := range r.claims {
		for _, instance := range claim {
			if _, usable := free[instance]; usable {
				free[instance]--
			}
		}
	}
	return free
}

// spread chooses an instance for each of n slots, each time the one with most of its slots
// free, or says how many slots are missing.
func spread(free map[string]int, n int) (assignment []string, missing int) {
	total := 0
	left := make(map[string]int, len(free))
	names := make([]string, 0, len(free))
	for instance, slots := range free {
		if slots > 0 {
			total += slots
			left[instance] = slots
			names = append(names, instance)
		}
	}
	if total < n {
		return nil, n - total
	}
	for range n {
		best := slices.MinFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(left[b], left[a]), cmp.Compare(a, b))
		})
		left[best]--
		assignment = append(assignment, best)
	}
	return assignment, 0
}

// deployWanted: a job's owner sends its attempt to an instance. Where its peers are is known here.
type deployWanted struct {
	deploy     rpc.Deploy // Peers is filled in
	assignment []string
}

func (h deployWanted) apply(r *registry) {
	h.deploy.Peers = make(map[string]string, len(h.assignment))
	for slot, instance := range h.assignment {
		if m := r.managers[instance]; m != nil {
			h.deploy.Peers[strconv.Itoa(slot)] = m.record.Data
		}
	}
	r.send(h.deploy.Instance, h.deploy)
}

// sendWanted: a job's owner sends a message to an instance.
type sendWanted struct {
	instance string
	message  rpc.Message
}

func (h sendWanted) apply(r *registry) { r.send(h.instance, h.message) }

// clusterAsked: a client wants to know what there is. The answer has room for one.
type clusterAsked struct{ answer chan<- api.Cluster }

func (h clusterAsked) apply(r *registry) {
	var c api.Cluster
	for _, m := range r.managers {
		if m.ready && m.record.State == live {
			c.OS, c.Arch = m.session.register.OS, m.session.register.Arch
			c.TaskManagers++
			c.Slots += m.record.Slots
		}
	}
	for _, n := range r.free() {
		c.SlotsFree += max(n, 0)
	}
	h.answer <- c
}
