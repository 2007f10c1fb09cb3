package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

const (
	askAgain   = 200 * time.Millisecond
	askTime    = time.Second
	maxMembers = 1 << 20 // bytes of a list of members
)

// admit returns once this member may start with what is in its data directory, which has its
// logs in walDir. One without logs is either new, or has lost them and with them its votes.
// Of a quorum that has been used the other members tell which; etcd asks them too, but where
// none is up it takes the member for a new one, which could then vote away what they have committed.
func (c Config) admit(ctx context.Context, walDir string) error {
	if !c.Used || wal.Exist(walDir) {
		return nil
	}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for n := 0; ; n++ {
		known, err := c.voted(ctx)
		switch {
		case known:
			return c.lostItsData()
		case err == nil:
			return nil
		case n%int(10*time.Second/askAgain) == 5:
			c.logger().Warn("embedded quorum: the data directory is empty, and this cluster has been used; waiting for another member that knows whether this one has voted. "+
				"If all of them have lost their data, bring it back, or start a new cluster with an empty storage.dir", "dir", c.Dir, "members", c.names(), "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("embedded quorum: the data directory %s is empty, and no other member of %s was there to say whether %s has voted: %w", c.Dir, c.names(), c.Self, ctx.Err())
		}
	}
}

// lostItsData refuses a member whose votes are gone.
func (c Config) lostItsData() error {
	return fmt.Errorf("embedded quorum: the data directory %s is empty, but the other members know %s as one that has voted: bring its data back, or remove that member and add it again", c.Dir, c.Self)
}

// voted asks the other members, one after the other, whether they know this one as a member
// that was there: such a one has announced an address for clients. The first answer counts.
func (c Config) voted(ctx context.Context) (known bool, err error) {
	for _, p := range c.Peers {
		if p.REST == c.Self {
			continue
		}
		members, asked := askMembers(ctx, p.Raft)
		if asked == nil {
			return slices.ContainsFunc(members, func(m membership.Member) bool { return m.Name == c.Self && len(m.ClientURLs) > 0 }), nil
		}
		err = errors.Join(err, asked)
	}
	return false, err
}

func askMembers(ctx context.Context, address string) (members []membership.Member, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	u := httpURL(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("members").String(), nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMembers)).Decode(&members); err != nil {
		return nil, fmt.Errorf("%s answered with no list of members: %w", address, err)
	}
	return members, nil
}
