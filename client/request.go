package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// What can be asked of a running job, and what becomes of it.
type (
	// Request is what was asked of a job.
	Request = api.Request
	// Change is what becomes of a job's parallelism, or of its binary and arguments.
	Change = job.Change
)

// RefusedError is a request that had no effect.
type RefusedError struct {
	Request Request
}

func (e *RefusedError) Error() string { return e.Request.Failure }

// outcomeInterval is how often a request is asked after, and unserved how long it takes to tell that it waits.
const (
	outcomeInterval = 20 * time.Millisecond
	unserved        = 3 * time.Second
)

// Checkpoint has a checkpoint taken of a job now, and returns once it is completed.
func (c *Client) Checkpoint(ctx context.Context, id ID) (Request, error) {
	return c.ask(ctx, id, job.Request{Kind: job.TakeCheckpoint})
}

// Savepoint makes a savepoint of a job, which runs on: in a new directory of dir, an absolute path or a URL
// that the JobManagers can reach, or, if dir is empty, of the cluster's storage. Request.Savepoint names it.
func (c *Client) Savepoint(ctx context.Context, id ID, dir string) (Request, error) {
	return c.ask(ctx, id, job.Request{Kind: job.TakeSavepoint, Directory: dir})
}

// Stop makes a savepoint of a job, as Savepoint does, and ends the job there: what it put out up to the
// savepoint is visible, and no more. With drain its sources end as if their input had, and results come out,
// before the savepoint is made. Wait tells when the job has ended.
func (c *Client) Stop(ctx context.Context, id ID, dir string, drain bool) (Request, error) {
	return c.ask(ctx, id, job.Request{Kind: job.StopJob, Directory: dir, Drain: drain})
}

// Change has a running job go on from its state with another parallelism, or as another binary, and returns
// once all subtasks run again. What cannot be done is refused with a *RefusedError; then the job was not touched.
func (c *Client) Change(ctx context.Context, id ID, change Change) (Request, error) {
	return c.ask(ctx, id, job.Request{Kind: job.ChangeJob, Change: &change})
}

// ask sends a request, whose new id makes it safe to send again, and waits for what comes of it.
func (c *Client) ask(ctx context.Context, id ID, r job.Request) (Request, error) {
	r.ID = NewID()
	j, err := ask[Job](ctx, c, http.MethodPost, "/v1/jobs/"+url.PathEscape(string(id))+"/requests", r)
	tick := time.NewTicker(outcomeInterval)
	defer tick.Stop()
	began, told := time.Now(), c.Pending == nil
	for err == nil {
		outcome, ended, failure := outcomeOf(j, r)
		if ended || failure != nil {
			return outcome, failure
		}
		if !told && time.Since(began) > unserved {
			told = true
			c.Pending(j, outcome)
		}
		select {
		case <-ctx.Done():
			return outcome, fmt.Errorf("%w; the %s is %s, and goes on: perennial info %s tells what becomes of it", context.Cause(ctx), r.Kind, outcome.State, id.Short())
		case <-tick.C:
		}
		j, err = c.Job(ctx, id)
	}
	return Request{Request: r}, err
}

func outcomeOf(j Job, r job.Request) (outcome Request, ended bool, err error) {
	for _, known := range j.Requests {
		switch {
		case known.ID != r.ID:
		case known.Failure != "":
			return known, true, &RefusedError{known}
		default:
			return known, !known.Open(), nil
		}
	}
	return Request{Request: r}, false, errors.New("the cluster does not remember what became of the request any more")
}
