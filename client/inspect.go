package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/inspect"
)

// What processes show of themselves: logs and profiles, by the piece.
type (
	// Question asks for a piece.
	Question = inspect.Question
	// Piece is the answer.
	Piece = inspect.Piece
	// Inspect is a Question to a TaskManager, or to a task process on it.
	Inspect = api.Inspect
	// Inspected is a Piece, and whose it is.
	Inspected = api.Inspected
	// Self is who a JobManager is.
	Self = api.Self
	// Probed is what a TaskManager has found of its surroundings.
	Probed = api.Probed
	// JobFile is what a task process has written to its standard output or error.
	JobFile = api.JobFile
	// JobFiles is what all task processes of a job have.
	JobFiles = api.JobFiles
	// Missing is a TaskManager that did not answer.
	Missing = api.Missing
)

// JobFiles lists what the task processes of a job have written, as far as it is still there, and who did not answer.
func (c *Client) JobFiles(ctx context.Context, id ID) (JobFiles, error) {
	return ask[JobFiles](ctx, c, http.MethodGet, "/v1/jobs/"+url.PathEscape(string(id))+"/files", nil)
}

// InspectTaskManager asks the TaskManager that part names: the beginning or end of its id, or its host.
func (c *Client) InspectTaskManager(ctx context.Context, part string, q Inspect) (Inspected, error) {
	return ask[Inspected](ctx, c, http.MethodPost, "/v1/taskmanagers/"+url.PathEscape(part)+"/inspect", q)
}

// Probe has all TaskManagers look at their surroundings.
func (c *Client) Probe(ctx context.Context, p inspect.Probe) ([]Probed, error) {
	return ask[[]Probed](ctx, c, http.MethodPost, "/v1/probe", p)
}

// InspectJobManager asks the JobManager with this REST address, once.
func (c *Client) InspectJobManager(ctx context.Context, rest string, q Question) (p Piece, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return p, err
	}
	open := func() (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	}
	err = c.at(ctx, rest, request{method: http.MethodPost, path: "/v1/self/inspect", open: open, timeout: perTry}, &p)
	return p, err
}

// Self asks the JobManager with this REST address who it is, once.
func (c *Client) Self(ctx context.Context, rest string) (s Self, err error) {
	open := func() (io.ReadCloser, int64, error) { return http.NoBody, 0, nil }
	err = c.at(ctx, rest, request{method: http.MethodGet, path: "/v1/self", open: open, timeout: perTry}, &s)
	return s, err
}

// at asks one JobManager, whether it leads or not.
func (c *Client) at(ctx context.Context, rest string, r request, answer any) error {
	err := c.try(ctx, rest, r, answer)
	if refused, ok := err.(*refusal); ok { //nolint:errorlint // try returns it as it is
		return &Error{Status: refused.status, Code: refused.said.Code, Message: fmt.Sprintf("JobManager %s: %s", rest, refused.said.Message)}
	}
	return err
}
