package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
)

// Errors of changes of the membership. Others mean that the outcome is unknown: look at Members.
var (
	// ErrRefused says that the change was not made, and why not.
	ErrRefused = errors.New("embedded quorum: refused")
	// ErrNotYet says that it was not made, as members have not been connected for long enough: ask again.
	ErrNotYet = errors.New("embedded quorum: not yet")
	// ErrNoMember says that there is no such member.
	ErrNoMember = errors.New("embedded quorum: no such member")
)

// maxLag is how many entries of Raft's log a healthy member may be behind this one.
const maxLag = snapshotEvery

// Member is one of the quorum's members, as this one sees it.
type Member struct {
	Peer           // REST is "" of a member that was added and has not been started yet
	ID      string // of its votes: another after it was removed and added again
	Learner bool   // it has no vote yet
	Leader  bool   // it is Raft's leader
	Healthy bool
	Trouble string // why it is not healthy
	Behind  uint64 // entries of Raft's log that this member has and that one has not applied
}

// condition is what a member tells the others of itself.
type condition struct {
	ID      string `json:"id"`
	Leader  string `json:"leader"`
	Applied uint64 `json:"applied"`
}

// conditionPath is where, on Raft's port.
const conditionPath = "/perennial/member"

func (s *Server) condition() condition {
	return condition{ID: s.etcd.MemberID().String(), Leader: types.ID(s.etcd.Lead()).String(), Applied: s.etcd.AppliedIndex()}
}

// peerHandler is etcd's, and the member's condition.
func (s *Server) peerHandler(etcd http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", etcd)
	mux.HandleFunc("GET "+conditionPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.condition())
	})
	return mux
}

// Members lists the members, and asks each how it is, for a second at most.
func (s *Server) Members(ctx context.Context) []Member {
	own := s.condition()
	known := s.etcd.Cluster().Members()
	list := make([]Member, len(known))
	var asked sync.WaitGroup
	for i, m := range known {
		list[i] = Member{Peer: Peer{REST: m.Name, Raft: raftAddress(m)}, ID: m.ID.String(), Learner: m.IsLearner, Leader: m.ID.String() == own.Leader}
		asked.Go(func() { list[i].examine(ctx, own) })
	}
	asked.Wait()
	return list
}

// examine asks a member how it is.
func (m *Member) examine(ctx context.Context, own condition) {
	var c condition
	err := askPeer(ctx, m.Raft, conditionPath, &c)
	switch {
	case m.REST == "" && err != nil:
		m.Trouble = "it was added, and has not been started yet"
	case err != nil:
		m.Trouble = err.Error()
	case c.ID != m.ID:
		m.Trouble = "another member, " + c.ID + ", answers at its address"
	case c.Leader != own.Leader || own.Leader == types.ID(0).String():
		m.Trouble = fmt.Sprintf("it follows %s as Raft's leader, and this one %s", c.Leader, own.Leader)
	case c.Applied+maxLag < own.Applied:
		m.Trouble = fmt.Sprintf("it is %d entries behind", own.Applied-c.Applied)
	}
	m.Healthy = m.Trouble == ""
	if err == nil && c.Applied < own.Applied {
		m.Behind = own.Applied - c.Applied
	}
}

func raftAddress(m *membership.Member) string {
	for _, peer := range m.PeerURLs {
		if u, err := url.Parse(peer); err == nil {
			return u.Host
		}
	}
	return ""
}

// AddMember lets a new member in, first as a learner, which has no vote: it is started with an empty
// directory, and asks for its vote when it has caught up. Adding one again that has not been started
// yet changes nothing.
func (s *Server) AddMember(ctx context.Context, p Peer) error {
	for _, m := range s.etcd.Cluster().Members() {
		switch is := raftAddress(m); {
		case is == p.Raft && m.Name == "":
			return nil
		case is == p.Raft || m.Name == p.REST:
			return fmt.Errorf("%w: %s is a member already; if it has lost its data, remove it first", ErrRefused, p.REST)
		case m.IsLearner:
			return fmt.Errorf("%w: the member at %s is about to join; one at a time: start it, or remove it", ErrRefused, is)
		}
	}
	u := httpURL(p.Raft)
	now := time.Now()
	_, err := s.etcd.AddMember(ctx, *membership.NewMemberAsLearner("", types.URLs{u}, s.cfg.Cluster, &now))
	return s.changed("add", p.REST, err)
}

// RemoveMember takes a member, by its REST or Raft address, out of the quorum. It never comes back under its
// old identity. What would lose the quorum is refused, and so is this member itself.
func (s *Server) RemoveMember(ctx context.Context, name string) error {
	var target *membership.Member
	voters := 0
	for _, m := range s.etcd.Cluster().Members() {
		if m.Name == name || raftAddress(m) == name {
			target = m
		}
		if !m.IsLearner {
			voters++
		}
	}
	switch {
	case target == nil:
		return fmt.Errorf("%w: %s", ErrNoMember, name)
	case target.ID == s.etcd.MemberID():
		return fmt.Errorf("%w: %s is the member of the JobManager that leads; have it step down first", ErrRefused, name)
	case !target.IsLearner && voters <= 2:
		return fmt.Errorf("%w: %d members have a vote, and without %s the next loss would end the quorum; add another one first", ErrRefused, voters, name)
	}
	if s.etcd.Lead() == uint64(target.ID) {
		if err := s.leadRaft(ctx); err != nil {
			return err
		}
	}
	_, err := s.etcd.RemoveMember(ctx, uint64(target.ID))
	return s.changed("remove", name, err)
}

// leadRaft makes this member Raft's leader: to remove the leader costs an election.
func (s *Server) leadRaft(ctx context.Context) error {
	if err := s.etcd.MoveLeader(ctx, s.etcd.Lead(), uint64(s.etcd.MemberID())); err != nil {
		return fmt.Errorf("%w: Raft's leadership could not be moved: %w", ErrNotYet, err)
	}
	return nil
}

// changed puts etcd's refusals into words that can be acted upon.
func (s *Server) changed(what, name string, err error) error {
	switch {
	case err == nil:
		s.cfg.logger().Info("embedded quorum: the membership has changed", "did", what, "member", name)
		return nil
	case errors.Is(err, membership.ErrIDNotFound), errors.Is(err, membership.ErrIDRemoved):
		return fmt.Errorf("%w: %s", ErrNoMember, name)
	case errors.Is(err, etcderrors.ErrUnhealthy) && what == "add":
		return fmt.Errorf("%w: add %s: a majority must have been connected for five seconds, the new member counted in", ErrNotYet, name)
	case errors.Is(err, etcderrors.ErrUnhealthy), errors.Is(err, etcderrors.ErrNotEnoughStartedMembers):
		return fmt.Errorf("%w: to %s %s would lose the quorum, as other members are down (or have been up for less than five seconds): bring those back first", ErrRefused, what, name)
	}
	return fmt.Errorf("embedded quorum: %s %s: %w", what, name, err)
}

// becomeVoter asks for this member's vote, if it is a learner, until it has it.
func (s *Server) becomeVoter(ctx context.Context) error {
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for said := ""; s.isLearner(); {
		_, err := s.etcd.PromoteMember(ctx, uint64(s.etcd.MemberID()))
		if err == nil || errors.Is(err, membership.ErrMemberNotLearner) {
			break
		}
		if said != err.Error() && !errors.Is(err, etcderrors.ErrLearnerNotReady) {
			said = err.Error()
			s.cfg.logger().Warn("embedded quorum: this new member has no vote yet; it is asked for again", "error", err)
		}
		select {
		case <-again.C:
		case <-s.etcd.StopNotify():
			return s.stopped(ctx)
		case <-ctx.Done():
			return fmt.Errorf("embedded quorum: %s has joined and has no vote yet: %w", s.cfg.Self, ctx.Err())
		}
	}
	return nil
}

func (s *Server) isLearner() bool {
	m := s.etcd.Cluster().Member(s.etcd.MemberID())
	return m != nil && m.IsLearner
}

// stopped says why etcd has stopped by itself, as far as that is known. A member that was removed while it was
// down may not have it in its own data: the others know.
func (s *Server) stopped(ctx context.Context) error {
	own := s.etcd.MemberID()
	members, err := s.cfg.askMembers(ctx)
	known := slices.ContainsFunc(members, func(m membership.Member) bool { return m.ID == own })
	if s.etcd.Cluster().Member(own) == nil || err == nil && !known {
		return s.cfg.removed()
	}
	return errors.New("embedded quorum: etcd stopped: see the log above")
}

// removed refuses a member that is none any more.
func (c Config) removed() error {
	return fmt.Errorf("embedded quorum: %s was removed from the quorum, or never added: empty its data directory %s, and have it added first (perennial quorum add %s)", c.Self, c.Dir, c.Self)
}

// askPeer gets JSON from a member.
func askPeer(ctx context.Context, address, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	u := httpURL(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMembers)).Decode(into); err != nil {
		return fmt.Errorf("%s answered with nothing that a member says: %w", address, err)
	}
	return nil
}
