package embedded

import (
	"context"
	"errors"
	"fmt"
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
// logs in walDir. One without logs is either new, or has lost them and with them its votes, or was added
// to the quorum: then it is to join the members that are returned, itself among them.
// Of a quorum that has been used the other members tell which; etcd asks them too, but where
// none is up it takes the member for a new one, which could then vote away what they have committed.
func (c Config) admit(ctx context.Context, walDir string) (join []Peer, err error) {
	if !c.Used || wal.Exist(walDir) {
		return nil, nil
	}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for n := 0; ; n++ {
		members, err := c.askMembers(ctx)
		switch {
		case err == nil:
			return c.place(members)
		case n%int(10*time.Second/askAgain) == 5:
			c.logger().Warn("embedded quorum: the data directory is empty, and this cluster has been used; waiting for another member that knows whether this one has voted. "+
				"If the cluster was on another coordination until now, move it here (perennial metadata export, import); if all members have lost their data, bring it back; "+
				"or start a new cluster with an empty storage.dir", "dir", c.Dir, "members", c.names(), "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("embedded quorum: the data directory %s is empty, and no other member of %s was there to say whether %s has voted: %w", c.Dir, c.names(), c.Self, ctx.Err())
		}
	}
}

// place tells what this member, which has no data, is to the others.
func (c Config) place(members []membership.Member) (join []Peer, err error) {
	self, _ := c.self()
	added := false
	for _, m := range members {
		peer := Peer{REST: m.Name, Raft: raftAddress(&m)}
		switch mine := peer.Raft == self.Raft || peer.REST == self.REST; {
		case mine && len(m.ClientURLs) > 0: // one that was there has announced an address for clients
			return nil, c.lostItsData()
		case mine && m.Name != "":
			return nil, nil // one of the first, which has not been there yet
		case mine:
			added, peer = true, self
		}
		join = append(join, peer)
	}
	if !added {
		return nil, c.removed()
	}
	return join, nil
}

// lostItsData refuses a member whose votes are gone.
func (c Config) lostItsData() error {
	return fmt.Errorf("embedded quorum: the data directory %s is empty, but the other members know %s as one that has voted: bring its data back, or remove that member and add it again (perennial quorum remove %s, then add)", c.Dir, c.Self, c.Self)
}

// askMembers asks the other members, one after the other, who the members are. The first answer counts.
func (c Config) askMembers(ctx context.Context) (members []membership.Member, err error) {
	for _, p := range c.Peers {
		if p.REST == c.Self {
			continue
		}
		asked := askPeer(ctx, p.Raft, "members", &members)
		if asked == nil {
			return members, nil
		}
		err = errors.Join(err, asked)
	}
	return nil, err
}
