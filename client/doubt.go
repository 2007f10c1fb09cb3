package client

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/api"
)

// A leader that is frozen, or whose host is lost, answers nothing, and a connection to it does not break. So while an
// answer is awaited for longer than doubtAfter, the client looks each doubtEvery whether somebody else leads, and asks
// each of them for lookTime at most.
const (
	doubtAfter = 500 * time.Millisecond
	doubtEvery = 250 * time.Millisecond
	lookTime   = 250 * time.Millisecond
)

// errElsewhere ends a try whose answer is not worth waiting for.
var errElsewhere = errors.New("no answer, and another JobManager leads")

// tryLeader is try, given up once somebody else than the one at address leads.
func (c *Client) tryLeader(ctx context.Context, address string, r request, answer any) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	var doubts sync.WaitGroup
	defer doubts.Wait()
	defer giveUp(nil)
	doubts.Go(func() { c.doubt(ctx, address, giveUp) })
	return c.try(ctx, address, r, answer)
}

// doubt ends a try at address once somebody else leads. It returns with ctx, which is the try's.
func (c *Client) doubt(ctx context.Context, address string, giveUp context.CancelCauseFunc) {
	timer := time.NewTimer(doubtAfter)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if c.elsewhere(ctx, address) {
			giveUp(errElsewhere)
			return
		}
		timer.Reset(doubtEvery)
	}
}

// elsewhere reports whether another JobManager than the one at address says that it leads, or knows who else does.
func (c *Client) elsewhere(ctx context.Context, address string) bool {
	locating, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	addresses, err := c.locate.Addresses(locating)
	if err != nil {
		return false // whoever waits is told of it by the next try
	}
	for _, other := range addresses {
		if other != address && c.leadsInstead(ctx, other, address) {
			return true
		}
	}
	return false
}

func (c *Client) leadsInstead(ctx context.Context, other, address string) bool {
	err := c.try(ctx, other, request{method: http.MethodGet, path: "/v1/cluster", open: nothing, timeout: lookTime}, nil)
	if refused, ok := errors.AsType[*refusal](err); ok {
		leader := refused.said.Leader
		return refused.said.Code == api.NotLeader && leader != "" && leader != address
	}
	return err == nil
}
