package zookeeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
	"github.com/perennial-io/perennial/internal/build"
)

// currentFormat is of the nodes that this build writes and reads. It grows when a build that does
// not know of the change would misread them.
const currentFormat = 1

// format is what the cluster's own node holds, as a line of JSON. An empty node is one that was
// made before there was a format, or by an operator: it is of format 1.
type format struct {
	Format int    `json:"format"`
	By     string `json:"by"` // the build that wrote it, for people
}

func (f format) encode() []byte {
	text, err := json.Marshal(f)
	if err != nil {
		panic("zookeeper: a format that is no JSON: " + err.Error()) // a number and a string
	}
	return append(text, '\n')
}

// ownFormat is what this build writes.
func ownFormat() format {
	return format{currentFormat, "perennial " + build.Version}
}

// decodeFormat reports false for what is not a cluster's node.
func decodeFormat(data []byte) (f format, ok bool) {
	if len(data) == 0 {
		return format{Format: 1}, true
	}
	err := json.Unmarshal(bytes.TrimSpace(data), &f)
	return f, err == nil && f.Format > 0
}

// checkFormat refuses a cluster's node whose contents this build would misread.
func checkFormat(path string, data []byte) error {
	f, ok := decodeFormat(data)
	switch {
	case !ok:
		return fmt.Errorf("zookeeper: %s holds %q, so it is no cluster's node: choose another zookeeper.path.root or cluster.id", path, clipped(data))
	case f.Format > currentFormat:
		return fmt.Errorf("zookeeper: %s belongs to a cluster of another version: it has format %d, written by %s, and this build knows formats up to %d. "+
			"Use the newer build, or another cluster.id for a cluster of its own", path, f.Format, f.By, currentFormat)
	}
	return nil
}

// own makes sure that the cluster's node is there, and that this build reads what is below it.
func (s *store) own(ctx context.Context) error {
	for {
		n, err := s.get(ctx, s.base)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			err = s.makeBase(ctx)
		case err != nil:
			return fmt.Errorf("read %s: %w", s.base, err)
		case len(n.Data) > 0:
			if err := checkFormat(s.base, n.Data); err != nil {
				return err
			}
			return s.warnOpen(ctx)
		default:
			err = s.multi(ctx, zksession.Set(s.base, ownFormat().encode(), n.Stat.Version))
		}
		if err != nil && !again(err) {
			return fmt.Errorf("make %s: %w", s.base, err)
		}
	}
}

// makeBase makes the cluster's node and those above it, of which none may be a cluster's: its keys
// would be this cluster's nodes.
func (s *store) makeBase(ctx context.Context) error {
	for _, path := range above(s.base) {
		n, err := s.get(ctx, path)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			if err := s.session.Ensure(ctx, path, s.access.shared()); err != nil {
				return err
			}
		case errors.Is(err, zk.ErrNoAuth):
			continue // somebody lets nobody look into it; whether there is a way through, the next one tells
		case err != nil:
			return fmt.Errorf("read %s: %w", path, err)
		case len(n.Data) > 0: // an empty one is a directory, or a cluster of before there was a format
			if f, ok := decodeFormat(n.Data); ok {
				return fmt.Errorf("%s is another cluster's node (format %d): choose a zookeeper.path.root that is not inside a cluster", path, f.Format)
			}
		}
	}
	return s.multi(ctx, s.create(s.base, ownFormat().encode()))
}

// warnOpen tells of a cluster that is to be its creator's and was made when it was open to all:
// ZooKeeper leaves nodes as they are.
func (s *store) warnOpen(ctx context.Context) error {
	if s.access != ACLCreator {
		return nil
	}
	acl, err := s.session.ACL(ctx, s.base)
	if err == nil && changeable(acl) {
		s.log.Warn("zookeeper: zookeeper.acl is creator, and the cluster's nodes were made when it was not: everybody may still change them; "+
			"zkCli.sh's setAcl -R gives them to their user", "node", s.base)
	}
	return err
}
