package execution

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// Stage is how far a request has come, as committed.
type Stage string

// The stages of a request.
const (
	Asked    Stage = "ASKED"    // nothing was done for it
	Reserved Stage = "RESERVED" // its checkpoint is under way
	Copying  Stage = "COPYING"  // its checkpoint is completed, and being copied out
	Stopping Stage = "STOPPING" // of a change: the old attempt is being ended
	Starting Stage = "STARTING" // of a change: the new attempt waits for slots, or starts
	Done     Stage = "DONE"
	Refused  Stage = "FAILED" // it had no effect
)

// Ended reports whether nothing more comes of the request.
func (s Stage) Ended() bool { return s == Done || s == Refused }

// Request is what a client asked of the job, and what became of it (R9).
type Request struct {
	job.Request
	Stage Stage     `json:"stage"`
	Asked time.Time `json:"asked"`
	// Checkpoint was reserved for it, in Attempt; 0: none was yet.
	Checkpoint job.CheckpointID `json:"checkpoint,omitempty"`
	Attempt    job.Attempt      `json:"attempt,omitempty"`
	// GraphHash names the plan of a change, in storage, and Notes tell what it does to the state.
	GraphHash string   `json:"graph,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	// Savepoint is where the savepoint is, and Size how many bytes of state it has.
	Savepoint string `json:"savepoint,omitempty"`
	Size      int64  `json:"size,omitempty"`
	Failure   string `json:"failure,omitempty"`
	// Stopped is when the attempt was given up for a change, and Ended when nothing more was to come.
	Stopped time.Time `json:"stopped,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
}

// holdsSources reports whether the sources are to be silent after the request's checkpoint.
func (r *Request) holdsSources() bool { return r.Kind == job.StopJob && !r.Drain }

// rememberedRequests is how many requests that have ended are remembered, and at most wait.
const rememberedRequests = 8

// Requests is what is committed about the requests of a job, the oldest first.
type Requests struct {
	Requests []Request `json:"requests,omitempty"`
	// Forgotten is the highest id of those that are not remembered any more: it, and what is below it, is
	// not to be asked again.
	Forgotten job.ID `json:"forgotten,omitempty"`
}

// Known reports whether a request was recorded, or forgotten since.
func (rs *Requests) Known(id job.ID) bool { return id <= rs.Forgotten || rs.request(id) != nil }

func (rs *Requests) request(id job.ID) *Request {
	if i := slices.IndexFunc(rs.Requests, func(r Request) bool { return r.ID == id }); i >= 0 {
		return &rs.Requests[i]
	}
	return nil
}

// add records requests, and forgets old ones.
func (rs *Requests) add(asked []Request) {
	list := append(slices.Clone(rs.Requests), asked...)
	ended := 0
	for _, r := range list {
		if r.Stage.Ended() {
			ended++
		}
	}
	rs.Requests = slices.DeleteFunc(list, func(r Request) bool {
		if !r.Stage.Ended() || ended <= rememberedRequests {
			return false
		}
		ended--
		rs.Forgotten = max(rs.Forgotten, r.ID)
		return true
	})
}

// each changes the requests that have not ended.
func (rs *Requests) each(change func(r *Request)) {
	rs.Requests = slices.Clone(rs.Requests) // other versions of the intent share them
	for i := range rs.Requests {
		if !rs.Requests[i].Stage.Ended() {
			change(&rs.Requests[i])
		}
	}
}

// update changes one request.
func (rs *Requests) update(id job.ID, change func(r *Request)) {
	rs.each(func(r *Request) {
		if r.ID == id {
			change(r)
		}
	})
}

func (r *Request) fail(why string) {
	r.Stage, r.Failure = Refused, strings.ToValidUTF8(why[:min(len(why), maxFailure)], "")
}

// maxFailure bounds what is told of a failure, in bytes: it stays in the intent.
const maxFailure = 1000

// settle fails the requests that cannot be served any more in the phase that is to be committed.
func (in *Intent) settle() {
	switch in.Phase {
	case Created, Running:
	case Restarting:
		for _, r := range in.Requests.Requests {
			if r.Stage == Reserved || r.Stage == Copying && r.Kind == job.StopJob {
				in.undo(r.ID, fmt.Sprintf("the job restarts: %s. Ask again", in.Failure))
			}
		}
	case Publishing:
		in.each(func(r *Request) {
			if r.Stage == Starting { // it had its effect, and what it began has come to its end already
				r.Stage = Done
				return
			}
			r.fail("the job had come to its end")
		})
	default:
		why := fmt.Sprintf("the job is %s", in.Phase)
		if in.Failure != "" {
			why += ": " + in.Failure
		}
		in.each(func(r *Request) { r.fail(why) })
	}
}

// undo fails a request. The checkpoint of a drain is not one to continue from: its input had ended.
func (in *Intent) undo(id job.ID, why string) {
	in.update(id, func(r *Request) {
		r.fail(why)
		if r.Drain {
			in.Completed = slices.DeleteFunc(slices.Clone(in.Completed), func(p job.Pointer) bool { return p.Checkpoint == r.Checkpoint })
		}
	})
}

// NextGraph names the plan of a change that is being made, "" if none is.
func (in *Intent) NextGraph() string {
	for _, r := range in.Requests.Requests {
		if r.Stage == Reserved || r.Stage == Stopping {
			return r.GraphHash
		}
	}
	return ""
}

// completed returns a completed checkpoint that is retained, or nil.
func (in *Intent) completed(id job.CheckpointID) *job.Pointer {
	for i := range in.Completed {
		if in.Completed[i].Checkpoint == id {
			return &in.Completed[i]
		}
	}
	return nil
}

// retained are the newest checkpoints of list, and those that are being copied (R13).
func (in *Intent) retained(list []job.Pointer, newest int) []job.Pointer {
	var kept []job.Pointer
	for i, p := range list {
		copied := slices.ContainsFunc(in.Requests.Requests, func(r Request) bool { return r.Stage == Copying && r.Checkpoint == p.Checkpoint })
		if copied { // it is none of the newest: that of a drain is not one to continue from
			newest++
		}
		if i < newest || copied {
			kept = append(kept, p)
		}
	}
	return kept
}
