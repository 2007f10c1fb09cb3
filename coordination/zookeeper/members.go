package zookeeper

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// Join makes a node of this session for m. One that is there, of an earlier session or an
// earlier call, is replaced in the same multi: whoever watches sees that, and the end of the
// earlier session takes nothing away.
func (s *store) Join(ctx context.Context, m coordination.Member) error {
	if err := coordination.CheckSize("the member's data", len(m.Data)); err != nil {
		return err
	}
	path, err := s.member(m.ID)
	if err != nil {
		return err
	}
	arrive := s.createEphemeral(path, m.Data)
	replace := false
	for {
		if replace {
			err = s.multi(ctx, zksession.Delete(path, zksession.AnyVersion), arrive)
		} else {
			err = s.multi(ctx, arrive)
		}
		if err == nil && s.warm > 0 {
			s.warming.Do(func() { s.session.Go(s.keepWarm) })
		}
		if err == nil || !again(err) {
			return err
		}
		// A lost reply is tried again: joining twice is joining once.
		replace = zksession.Refused(err, 0, zk.ErrNodeExists) || replace && !zksession.Refused(err, 0, zk.ErrNoNode)
	}
}

// Members lists the members as they were at some moment after the call.
func (s *store) Members(ctx context.Context) ([]coordination.Member, error) {
	if err := s.session.Sync(ctx, s.members); err != nil {
		return nil, inWords(err)
	}
	names, err := s.children(ctx, s.members)
	if err != nil {
		return nil, err
	}
	return s.membersNamed(ctx, names)
}

// watchMembers is Members, and watches for the next change. Data changes with the node's
// being made anew, so the watch on the list is enough.
func (s *store) watchMembers(w *zksession.Watcher) ([]coordination.Member, error) {
	names, err := w.Children(s.members)
	if err != nil {
		return nil, err
	}
	return s.membersNamed(s.session.Context(), names)
}

func (s *store) membersNamed(ctx context.Context, names []string) ([]coordination.Member, error) {
	members := make([]coordination.Member, 0, len(names))
	for _, name := range names {
		n, err := s.get(ctx, s.members+"/"+name)
		if errors.Is(err, zk.ErrNoNode) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		id, err := url.PathUnescape(name)
		if err != nil {
			return nil, fmt.Errorf("zookeeper: a member's node has the name %q, which no Join made: %w", name, err)
		}
		members = append(members, coordination.Member{ID: id, Data: n.Data})
	}
	slices.SortFunc(members, func(a, b coordination.Member) int { return cmp.Compare(a.ID, b.ID) })
	return members, nil
}

func otherMembers(a, b []coordination.Member) bool {
	return !slices.EqualFunc(a, b, func(x, y coordination.Member) bool {
		return x.ID == y.ID && bytes.Equal(x.Data, y.Data)
	})
}
