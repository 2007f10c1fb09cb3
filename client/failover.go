package client

import (
	"context"
	"net/http"

	"github.com/perennial-io/perennial/internal/api"
)

// Takeover tells of a change of leader.
type Takeover = api.Takeover

// Cause is what made a JobManager take over.
type Cause = api.Cause

// The causes.
const (
	CauseFirst      = api.CauseFirst
	CauseConnection = api.CauseConnection
	CauseHeartbeat  = api.CauseHeartbeat
	CauseSession    = api.CauseSession
	CauseStepDown   = api.CauseStepDown
	CauseFailure    = api.CauseFailure
	CauseUnknown    = api.CauseUnknown
)

// Failovers lists the newest changes of leader, the latest first, at most 64. Epochs that are missing in between were
// claimed by JobManagers that were replaced, or died, before they had adopted what ran.
func (c *Client) Failovers(ctx context.Context) ([]Takeover, error) {
	return ask[[]Takeover](ctx, c, http.MethodGet, "/v1/failovers", nil)
}
