package embedded

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReplaceMember: one that has lost its data is removed and added again, under its own address and under
// another; meanwhile the others commit, and afterwards its vote counts.
func TestReplaceMember(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	for i := range q.configs {
		q.configs[i].Used = true
	}
	lost := (q.leader() + 1) % 3
	serving := q.servers[(q.leader()+2)%3]
	_, term := q.lead((q.leader() + 2) % 3)
	write(t, term)
	q.stop(lost)
	if err := os.RemoveAll(q.configs[lost].Dir); err != nil {
		t.Fatal(err)
	}
	name := q.configs[lost].Self
	if err := serving.AddMember(within(t), q.configs[lost].Peers[lost]); !errors.Is(err, ErrRefused) {
		t.Errorf("adding a member that is one: %v", err)
	}
	if err := serving.RemoveMember(within(t), serving.cfg.Self); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "step down") {
		t.Errorf("removing oneself: %v", err)
	}
	other := q.configs[(lost+1)%3].Self
	if other == serving.cfg.Self {
		other = q.configs[(lost+2)%3].Self
	}
	if err := serving.RemoveMember(within(t), other); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotYet) {
		t.Errorf("removing the last member that serves with this one: %v", err)
	}
	each(t, askAgain, "its end is noticed, and it is removed", func() bool { return serving.RemoveMember(within(t), name) == nil })
	if err := serving.RemoveMember(within(t), name); !errors.Is(err, ErrNoMember) {
		t.Errorf("removing it again: %v", err)
	}
	write(t, term)
	if _, err := Start(within(t), q.configs[lost]); err == nil || !strings.Contains(err.Error(), "removed from the quorum, or never added") {
		t.Errorf("starting it before it is added: %v", err)
	}
	each(t, askAgain, "it is added", func() bool {
		err := serving.AddMember(within(t), q.configs[lost].Peers[lost])
		if err != nil && !errors.Is(err, ErrNotYet) {
			t.Fatal(err)
		}
		return err == nil
	})
	if m := q.member(serving, ""); !m.Learner || m.Healthy || !strings.Contains(m.Trouble, "not been started") {
		t.Errorf("before its start it is %+v", m)
	}
	q.restart(lost)
	if m := q.member(serving, name); m.Learner || !m.Healthy {
		t.Errorf("after its start it is %+v", m)
	}
	for i, s := range q.servers { // a majority that does not work without it
		if i != lost && s != serving {
			q.stop(i)
		}
	}
	began := time.Now()
	write(t, term)
	t.Logf("with its vote the next commit takes %v", time.Since(began).Round(time.Millisecond))
}

func (q *quorum) member(s *Server, name string) Member {
	q.t.Helper()
	var found Member
	until(q.t, "a member is listed", func() bool {
		for _, m := range s.Members(within(q.t)) {
			if m.REST == name {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// TestRemovedMemberEnds: one that runs while it is removed stops, and says so when it is started on its old data.
func TestRemovedMemberEnds(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	gone := (q.leader() + 1) % 3
	serving := q.servers[q.leader()]
	each(t, askAgain, "it is removed", func() bool {
		err := serving.RemoveMember(within(t), q.configs[gone].Self)
		return err == nil
	})
	<-q.servers[gone].Done()
	q.stop(gone)
	if _, err := Start(within(t), q.configs[gone]); err == nil || !strings.Contains(err.Error(), "was removed from the quorum") {
		t.Errorf("started on its old data: %v", err)
	}
}
