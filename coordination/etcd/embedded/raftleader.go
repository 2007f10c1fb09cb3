package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RaftLeader tells whether this member is Raft's leader, as far as it knows.
func (s *Server) RaftLeader() bool {
	return s.etcd.Lead() == uint64(s.etcd.MemberID())
}

// RaftLeaderName is the REST address of Raft's leader, or "" while there is none.
func (s *Server) RaftLeaderName() string {
	lead := s.etcd.Lead()
	for name, id := range s.ids() {
		if id == lead {
			return name
		}
	}
	return ""
}

// ClaimDelay is how long this process should wait before it claims leadership of the
// JobManagers: Raft's leader lets the others come first.
func (s *Server) ClaimDelay() time.Duration {
	if s.RaftLeader() {
		return claimDelay
	}
	return 0
}

// MoveLeaderAway makes another member Raft's leader if this one is: the first of
// answeredRecently, which are REST addresses of members that have answered this process a
// moment ago. (A connection that stands open is no answer: to make a frozen member Raft's
// leader stops all writes for an election.) If Raft's leader is another member already, it
// stays if it is among them; else it is asked to hand over as well. ctx should end after
// an election time-out, half a second, as a transfer that takes longer has failed.
func (s *Server) MoveLeaderAway(ctx context.Context, answeredRecently []string) error {
	ids, leader := s.ids(), s.RaftLeaderName()
	switch {
	case leader == "":
		return fmt.Errorf("embedded quorum: move Raft's leadership: there is no leader at the moment")
	case leader != s.cfg.Self && slices.Contains(answeredRecently, leader):
		return nil
	}
	for _, target := range answeredRecently {
		id, ok := ids[target]
		if !ok || target == s.cfg.Self {
			continue
		}
		if err := s.etcd.MoveLeader(ctx, ids[leader], id); err != nil {
			return fmt.Errorf("embedded quorum: move Raft's leadership from %s to %s: %w", leader, target, err)
		}
		return nil
	}
	return fmt.Errorf("embedded quorum: move Raft's leadership from %s: no other member (%s) is among those that answered: %s",
		leader, s.cfg.names(), strings.Join(answeredRecently, ", "))
}

// ids are the Raft ids of the members that have a vote, by REST address.
func (s *Server) ids() map[string]uint64 {
	ids := map[string]uint64{}
	for _, m := range s.etcd.Cluster().Members() {
		if !m.IsLearner {
			ids[m.Name] = uint64(m.ID)
		}
	}
	return ids
}
