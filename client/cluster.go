package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/api"
)

// Quorum tells who the members of the embedded quorum are.
func (c *Client) Quorum(ctx context.Context) (api.Quorum, error) {
	return ask[api.Quorum](ctx, c, http.MethodGet, "/v1/quorum", nil)
}

// AddToQuorum lets a member in, by its REST address.
func (c *Client) AddToQuorum(ctx context.Context, member string) (api.QuorumAddition, error) {
	return ask[api.QuorumAddition](ctx, c, http.MethodPost, "/v1/quorum/members", api.QuorumAddition{Member: member})
}

// RemoveFromQuorum takes a member, named as in Quorum, out of the quorum. One that is none is refused.
func (c *Client) RemoveFromQuorum(ctx context.Context, member string) error {
	q, err := c.Quorum(ctx)
	if err != nil {
		return err
	}
	_, err = ask[struct{}](ctx, c, http.MethodDelete, "/v1/quorum/members/"+url.PathEscape(member), nil)
	was := slices.ContainsFunc(q.Members, func(m api.QuorumMember) bool { return m.Name == member })
	if e, ok := errors.AsType[*Error](err); ok && e.Code == api.NotFound && was {
		return nil // an earlier try did it, and its answer was lost
	}
	return err
}

// exportTime is how long a leader may take to end its work and read all that is committed.
const exportTime = 15 * time.Second

// Export reads all that coordination holds of the cluster, as of one moment. After a final one no JobManager leads
// there any more, and all of them end; what runs goes on.
func (c *Client) Export(ctx context.Context, final bool) (api.Export, error) {
	body, err := json.Marshal(api.ExportRequest{Final: final})
	if err != nil {
		return api.Export{}, err
	}
	open := func() (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	}
	var answer api.Export
	err = c.retry(ctx, request{method: http.MethodPost, path: "/v1/metadata/export", open: open, timeout: exportTime}, &answer)
	return answer, err
}
