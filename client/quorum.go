package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

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
