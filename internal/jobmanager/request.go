package jobmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// maxWaiting is how many requests of a job may wait to be served.
const maxWaiting = 16

// Request commits what a client asks of a running job, once for its id, and returns the job with it. What
// comes of it is in api.Job.Requests later.
func (jm *JobManager) Request(ctx context.Context, id job.ID, r job.Request) (api.Job, error) {
	l, o, err := jm.currently(ctx, id)
	if err != nil {
		return api.Job{}, err
	}
	if found, err := recorded(o.view.Load(), r); found || err != nil {
		return *o.view.Load(), err
	}
	if err := l.checkRequest(ctx, o.view.Load(), r); err != nil {
		return api.Job{}, err
	}
	if err := l.await(ctx, o.ask(execution.RequestReceived{Request: r, At: time.Now().UTC()})); err != nil {
		return api.Job{}, err
	}
	v := *o.view.Load()
	found, err := recorded(&v, r)
	if err == nil && !found {
		err = ended(&v, r)
	}
	return v, err
}

// recorded reports whether a request is committed, and refuses an id that was used for another one.
func recorded(v *api.Job, r job.Request) (bool, error) {
	for _, known := range v.Requests {
		if known.ID != r.ID {
			continue
		}
		if !same(known.Request, r) {
			return true, &api.Error{Code: api.Conflict, Message: fmt.Sprintf("request id %s was used for another request; make a new id", r.ID)}
		}
		return true, nil
	}
	if r.ID <= v.Forgotten {
		return false, &api.Error{Code: api.Conflict, Message: fmt.Sprintf(
			"request %s is older than what is remembered of job %s: it was answered long ago, or this machine's clock is behind", r.ID, v.ID)}
	}
	return false, nil
}

// same compares as it was sent: an empty list is no list.
func same(a, b job.Request) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func ended(v *api.Job, r job.Request) error {
	return &api.Error{Code: api.Conflict, Message: fmt.Sprintf("job %s is %s: a %s can be asked of a running job only", v.ID.Short(), v.State, r.Kind)}
}

// checkRequest says what is wrong with a request, before anything of it is recorded.
func (l *leader) checkRequest(ctx context.Context, v *api.Job, r job.Request) error {
	bad := func(err error) error { return &api.Error{Code: api.BadRequest, Message: err.Error()} }
	if err := r.Check(); err != nil {
		return bad(err)
	}
	if v.State.Terminal() {
		return ended(v, r)
	}
	waiting := 0
	for _, other := range v.Requests {
		if other.Open() {
			waiting++
		}
	}
	if waiting >= maxWaiting {
		return &api.Error{Code: api.Conflict, Message: fmt.Sprintf("%d requests wait for job %s already; ask again when some have ended", waiting, v.ID.Short())}
	}
	if b, err := json.Marshal(r); err != nil || len(b) > maxSpec {
		return bad(fmt.Errorf("the request has %d bytes; at most %d can be sent: pass a file's name instead of its content", len(b), maxSpec))
	}
	if r.Change != nil && r.Change.Artifact != "" {
		return l.checkArtifact(ctx, r.Change.Artifact)
	}
	return nil
}

func (l *leader) checkArtifact(ctx context.Context, sum string) error {
	has, err := l.hasArtifact(ctx, sum)
	if err != nil {
		return err
	}
	if !has {
		return &api.Error{Code: api.BadRequest, Message: fmt.Sprintf("artifact: no job binary %s is stored; upload it first", sum)}
	}
	return nil
}

// stampRequests fills in when requests ended, and when the job was stopped for one.
func stampRequests(in *execution.Intent, now time.Time) {
	for i := range in.Requests.Requests {
		r := &in.Requests.Requests[i]
		if r.Stage == execution.Stopping && r.Stopped.IsZero() {
			r.Stopped = now
		}
		if r.Stage.Ended() && r.Ended.IsZero() {
			r.Ended = now
		}
	}
}

// tellRequests logs what became of requests with this commit.
func (o *owner) tellRequests(before, in *execution.Intent) {
	old := map[job.ID]execution.Stage{}
	for _, r := range before.Requests.Requests {
		old[r.ID] = r.Stage
	}
	for _, r := range in.Requests.Requests {
		if old[r.ID] == r.Stage {
			continue
		}
		log := o.log.With("job", o.id, "request", r.ID, "kind", r.Kind)
		switch r.Stage {
		case execution.Asked:
			log.Info("a client asks something of the job")
		case execution.Refused:
			log.Warn("a request had no effect", "reason", r.Failure)
		case execution.Done:
			log.Info("a request was served", "checkpoint", r.Checkpoint, "savepoint", r.Savepoint)
		}
	}
}
