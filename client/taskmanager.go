package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/api"
)

// TaskManager is a row of the list of TaskManagers.
type TaskManager = api.TaskManager

// Lease is how long the subtasks of a TaskManager run without being renewed by the leader.
type Lease = api.Lease

// LeaseWait is the lease of a TaskManager that was lost, for which a job waits before it is started again.
type LeaseWait = api.LeaseWait

// TaskManagers lists those that live, and those that are out of reach and not declared dead yet.
func (c *Client) TaskManagers(ctx context.Context) ([]TaskManager, error) {
	return ask[[]TaskManager](ctx, c, http.MethodGet, "/v1/taskmanagers", nil)
}

// ResolveTaskManager finds the one TaskManager whose id starts or ends with part, with or without the "tm-" of all ids.
func (c *Client) ResolveTaskManager(ctx context.Context, part string) (TaskManager, error) {
	list, err := c.TaskManagers(ctx)
	if err != nil {
		return TaskManager{}, err
	}
	var found []TaskManager
	for _, t := range list {
		bare := strings.TrimPrefix(t.ID, "tm-")
		if part != "" && (strings.HasPrefix(t.ID, part) || strings.HasPrefix(bare, part) || strings.HasSuffix(bare, part)) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return TaskManager{}, &Error{Status: 404, Code: api.NotFound, Message: fmt.Sprintf("no TaskManager's id starts or ends with %q; taskmanagers shows them all", part)}
	case 1:
		return found[0], nil
	}
	return TaskManager{}, &Error{Status: 400, Code: api.BadRequest, Message: fmt.Sprintf("%q could be any of %d TaskManagers; give more of the id", part, len(found))}
}

// Drain has jobs leave a TaskManager, by its whole id, and then it ends. It returns once that is committed. It is refused if
// there are too few slots elsewhere, unless force says that jobs stop at once and wait for slots.
func (c *Client) Drain(ctx context.Context, id string, force bool) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/v1/taskmanagers/"+url.PathEscape(id)+"/drain", api.Drain{Force: force})
	return err
}

// WaitGone waits until a TaskManager has ended, or was declared dead, asking each interval and calling each (if it is not
// nil) with every answer.
func (c *Client) WaitGone(ctx context.Context, id string, interval time.Duration, each func(TaskManager)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		list, err := c.TaskManagers(ctx)
		if err != nil {
			return err
		}
		there := false
		for _, t := range list {
			if t.ID == id {
				there = true
				if each != nil {
					each(t)
				}
			}
		}
		if !there {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
