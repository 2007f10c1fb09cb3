// Package client submits jobs to a Perennial cluster, follows and cancels them. The command
// perennial is built on it.
//
// A Client rides through a change of leader: each call is repeated, against whoever leads now,
// until it is answered or its context ends. That is safe because every request names its own
// effect (a job's id is made by the client), so that a repeated one changes nothing.
//
// No goroutine of the package outlives a call: each try has one, which looks whether somebody else
// leads while the answer is awaited. A Client never retries an answer: what the leader refused stays refused, as an *Error.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// The vocabulary of the API, whose documentation is with the types.
type (
	// ID names a job.
	ID = job.ID
	// State is what a job or subtask is doing.
	State = job.State
	// Spec is what is submitted.
	Spec = job.Spec
	// Job is all about one job.
	Job = api.Job
	// Vertex is a chain of fused operators of a job.
	Vertex = api.Vertex
	// Subtask is one parallel instance of a vertex.
	Subtask = api.Subtask
	// Operator is what one operator of a job has done.
	Operator = api.Operator
	// Metric is what the function of an operator has counted or measured.
	Metric = job.Metric
	// Checkpoints is what a job could continue from.
	Checkpoints = api.Checkpoints
	// Checkpoint is a completed checkpoint.
	Checkpoint = api.Checkpoint
	// Summary is a row of the list of jobs.
	Summary = api.Summary
	// JobManager is a row of the list of JobManagers.
	JobManager = api.JobManager
	// Cluster is what a cluster offers.
	Cluster = api.Cluster
)

// NewID makes the id of a job that is to be submitted.
func NewID() ID { return job.NewID() }

// Error is the leader's refusal of a request.
type Error struct {
	Status  int    // of HTTP
	Code    string // one of internal/api's codes: not-found, bad-request, conflict …
	Message string // for a person
}

func (e *Error) Error() string { return e.Message }

// Attempts and waits of a call.
const (
	perTry     = 3 * time.Second
	firstPause = 5 * time.Millisecond
	longest    = 250 * time.Millisecond
	unanswered = time.Second // before Waiting is called
)

// Client talks to the leader of one cluster. Its methods may be called from several goroutines;
// each takes as long as its context allows while no leader answers.
type Client struct {
	// Waiting, unless nil, is called once in a call that no leader has served for a second, with the latest
	// reason (an *Error is a leader's, who cannot at the moment, as storage is full) and the time at which the call
	// gives up (zero: never). Set it before the first call.
	Waiting func(reason error, until time.Time)
	// Pending, unless nil, is called once for a request to a job that is not served within some seconds, with
	// the job as it is then.
	Pending func(Job, Request)

	locate Locator
	http   *http.Client

	mu     sync.Mutex
	leader string // REST address that answered last, or ""
}

// New returns a client that finds the leader by locate. Close ends what it holds open.
func New(locate Locator) *Client { return NewOver(nil, locate) }

// NewOver is New for a cluster whose JobManagers are reached by dial, such as through a tunnel; nil: by TCP.
func NewOver(dial func(ctx context.Context, network, address string) (net.Conn, error), locate Locator) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if dial != nil {
		transport.DialContext = dial
	}
	return &Client{locate: locate, http: &http.Client{Transport: transport}}
}

// Close releases connections, and the locator.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.locate.Close()
}

// Submit asks for the job that s describes; s.ID, made by NewID, makes it safe to ask again.
// It returns once the job is committed: from then on it outlives every JobManager.
func (c *Client) Submit(ctx context.Context, s Spec) (Job, error) {
	return ask[Job](ctx, c, http.MethodPost, "/v1/jobs", s)
}

// Jobs lists the cluster's jobs.
func (c *Client) Jobs(ctx context.Context) ([]Summary, error) {
	return ask[[]Summary](ctx, c, http.MethodGet, "/v1/jobs", nil)
}

// Job tells all about one job.
func (c *Client) Job(ctx context.Context, id ID) (Job, error) {
	return ask[Job](ctx, c, http.MethodGet, "/v1/jobs/"+url.PathEscape(string(id)), nil)
}

// Cancel asks a job to end. It returns once that is committed; Wait tells when it has ended.
// Cancelling a job that has ended changes nothing.
func (c *Client) Cancel(ctx context.Context, id ID) (Job, error) {
	return ask[Job](ctx, c, http.MethodPost, "/v1/jobs/"+url.PathEscape(string(id))+"/cancel", nil)
}

// JobManagers lists the leader and the standbys.
func (c *Client) JobManagers(ctx context.Context) ([]JobManager, error) {
	return ask[[]JobManager](ctx, c, http.MethodGet, "/v1/jobmanagers", nil)
}

// StepDown has the leader of an epoch hand leadership over to a standby, whom JobManagers names a moment later. No task
// notices, and calls of a Client ride through. Without a standby it is refused. If the epoch is over, nothing is done.
func (c *Client) StepDown(ctx context.Context, epoch coordination.Epoch) error {
	_, err := ask[api.StepDown](ctx, c, http.MethodPost, "/v1/step-down", api.StepDown{Epoch: epoch})
	return err
}

// Cluster tells what the cluster offers.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	return ask[Cluster](ctx, c, http.MethodGet, "/v1/cluster", nil)
}

// Resolve finds the one job whose id starts or ends with part.
func (c *Client) Resolve(ctx context.Context, part string) (ID, error) {
	if id, err := job.ParseID(part); err == nil {
		return id, nil
	}
	if part == "" {
		return "", errors.New("which job? Its id, or the beginning or end of it, is empty")
	}
	jobs, err := c.Jobs(ctx)
	if err != nil {
		return "", err
	}
	return match(jobs, part)
}

// Wait follows a job until its state is terminal, calling each with every answer (if it is not
// nil), each interval.
func (c *Client) Wait(ctx context.Context, id ID, interval time.Duration, each func(Job)) (Job, error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		j, err := c.Job(ctx, id)
		if err != nil {
			return j, err
		}
		if each != nil {
			each(j)
		}
		if j.State.Terminal() {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return j, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// ask sends a request that carries its body as JSON, until somebody who leads answers it.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (answer T, err error) {
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return answer, fmt.Errorf("encode request: %w", err)
		}
	}
	open := func() (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
	err = c.retry(ctx, request{method: method, path: path, open: open, timeout: perTry}, &answer)
	return answer, err
}

// A request can be sent any number of times.
type request struct {
	method, path string
	open         func() (body io.ReadCloser, size int64, err error)
	timeout      time.Duration // of one try
}

// retry tries every address that may be the leader's, again and again.
func (c *Client) retry(ctx context.Context, r request, answer any) error {
	var last error
	began, told := time.Now(), c.Waiting == nil
	for pause := firstPause; ; pause = min(2*pause, longest) {
		addresses, err := c.addresses(ctx)
		if err != nil {
			last = err
		}
		for _, address := range addresses {
			final, err := c.follow(ctx, address, r, answer)
			if final {
				return err
			}
			last = err
		}
		if !told && ctx.Err() == nil && time.Since(began) > unanswered {
			told = true
			until, _ := ctx.Deadline()
			c.Waiting(last, until)
		}
		select {
		case <-ctx.Done():
			return gaveUp(ctx, last)
		case <-time.After(pause):
		}
	}
}

func gaveUp(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	if unable, ok := errors.AsType[*Error](last); ok {
		return fmt.Errorf("the leading JobManager was not able to (%w): %w", context.Cause(ctx), unable)
	}
	return fmt.Errorf("no leading JobManager answered (%w): %w", context.Cause(ctx), last)
}

// follow tries one address, and the leader that it names if it is not the leader itself.
func (c *Client) follow(ctx context.Context, address string, r request, answer any) (final bool, err error) {
	for range 3 {
		err = c.tryLeader(ctx, address, r, answer)
		var refused *refusal
		switch {
		case err == nil:
			c.remember(address)
			return true, nil
		case errors.As(err, new(unsendable)):
			return true, err
		case !errors.As(err, &refused):
			c.remember("")
			return ctx.Err() != nil, err
		case refused.said.Code == api.NotLeader && refused.said.Leader != "" && refused.said.Leader != address:
			address = refused.said.Leader
		case refused.said.Code == api.NotLeader || refused.said.Code == api.NoLeader:
			return false, err
		default:
			return refused.said.Code != api.Unavailable, &Error{Status: refused.status, Code: refused.said.Code, Message: refused.said.Message}
		}
	}
	return false, err
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	said   api.Error
}

func (r *refusal) Error() string { return r.said.Message }

// unsendable is why a request has no body: nobody who leads could mend that.
type unsendable struct{ error }

func (u unsendable) Unwrap() error { return u.error }

func (c *Client) try(ctx context.Context, address string, r request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	body, size, err := r.open()
	if err != nil {
		return unsendable{err}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+address+r.path, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(api.FollowHeader, "yes")
	resp, err := c.http.Do(req)
	if err != nil {
		return unreachable(ctx, address, r, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return readRefusal(resp, data, address)
	}
	if answer == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("http://%s%s answered something that is not Perennial's: %w", address, r.path, err)
	}
	return nil
}

// unreachable says who did not answer, without the address being named three times.
func unreachable(ctx context.Context, address string, r request, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	switch {
	case errors.Is(context.Cause(ctx), errElsewhere):
		err = errElsewhere
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", r.timeout)
	}
	return fmt.Errorf("JobManager %s: %w", address, err)
}

func readRefusal(resp *http.Response, data []byte, address string) error {
	r := &refusal{status: resp.StatusCode}
	if err := json.Unmarshal(data, &r.said); err != nil || r.said.Code == "" {
		if resp.Request.Method == http.MethodHead {
			r.said.Code = api.NotFound
			if resp.StatusCode != http.StatusNotFound {
				r.said.Code = api.Unavailable
			}
			r.said.Message = resp.Status
			return r
		}
		return fmt.Errorf("http://%s answered %s: is this a JobManager's REST port?", address, resp.Status)
	}
	return r
}

func (c *Client) remember(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader = address
}

// addresses is whom to ask, the likeliest first.
func (c *Client) addresses(ctx context.Context) ([]string, error) {
	c.mu.Lock()
	leader := c.leader
	c.mu.Unlock()
	if leader != "" {
		return []string{leader}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, perTry)
	defer cancel()
	return c.locate.Addresses(ctx)
}
