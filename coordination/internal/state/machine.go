// Package state is a cluster's coordination held in one process: the epoch record, the
// entries, and whose session is alive. memory and local are made of it: memory puts a
// breakable Link between a session and the state, local writes each Change to a file first.
//
// It never does I/O itself. It starts one goroutine per Observe and WatchMembers, which
// belongs to its Session and has ended when Close returns.
package state

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/perennial-io/perennial/coordination"
)

// Record is the epoch record, without what lives only as long as a session.
type Record struct {
	Epoch coordination.Epoch
	ID    string
	Data  []byte
	Nonce string
}

// Snapshot is all that outlives sessions.
type Snapshot struct {
	Record  Record
	Entries []coordination.Entry
	Last    coordination.Version // the newest version that was ever given
}

// Change is what one claim or commit makes different.
type Change struct {
	Record *Record              // nil: the epoch stays
	Put    []coordination.Entry // created or replaced
	Delete []string             // keys
	Last   coordination.Version // the newest version given, this change included
}

// Machine is the state of one cluster. All its methods may be called at once.
//
// Writes pass one at a time through the turn, which is held while persist works; the mutex
// guards memory only. So a read never waits for a disk, and sees a write once it is durable.
type Machine struct {
	persist func(Change) error // nil: nothing outlives the process
	turn    chan struct{}      // holds one token while a claim or a commit is under way

	mu         sync.Mutex
	record     Record
	entries    map[string]coordination.Entry
	last       coordination.Version
	holder     *Session // the session that the leader lives by; nil: it is gone
	members    map[string]member
	broken     error         // of persist; nothing can be written any more
	leadership chan struct{} // closed and replaced at each change of record or holder
	membership chan struct{} // closed and replaced at each change of members
}

type member struct {
	data []byte
	by   *Session
}

// New returns a Machine that starts from s and hands each change to persist before it takes
// effect. An error of persist leaves unknown what is on disk, so no write is accepted after it.
func New(s Snapshot, persist func(Change) error) *Machine {
	m := &Machine{
		persist: persist, turn: make(chan struct{}, 1),
		record: s.Record, last: s.Last,
		entries: make(map[string]coordination.Entry), members: make(map[string]member),
		leadership: make(chan struct{}), membership: make(chan struct{}),
	}
	for _, e := range s.Entries {
		m.entries[e.Key] = e
		m.last = max(m.last, e.Version)
	}
	return m
}

// begin takes the turn to write.
func (m *Machine) begin(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("coordination: wait for an earlier write: %w", context.Cause(ctx))
	}
}

func (m *Machine) end() { <-m.turn }

// write makes c durable and then visible. The caller has the turn. also runs with the
// mutex held, at the moment at which c becomes visible.
func (m *Machine) write(c Change, also func()) error {
	m.mu.Lock()
	broken := m.broken
	m.mu.Unlock()
	if broken != nil {
		return broken
	}
	if m.persist != nil {
		if err := m.persist(c); err != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.broken = fmt.Errorf("coordination: nothing can be written since an earlier write failed: %w", err)
			return fmt.Errorf("%w: %w", coordination.ErrUnknown, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Record != nil {
		m.record = *c.Record
	}
	for _, e := range c.Put {
		m.entries[e.Key] = e
	}
	for _, key := range c.Delete {
		delete(m.entries, key)
	}
	m.last = c.Last
	also()
	return nil
}

// leader reads the epoch record and a channel that is closed when it changes.
func (m *Machine) leader() (coordination.Leadership, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return coordination.Leadership{
		Epoch: m.record.Epoch, ID: m.record.ID, Data: bytes.Clone(m.record.Data),
		Nonce: m.record.Nonce, Alive: m.holder != nil,
	}, m.leadership
}

// hold makes s what the leader lives by, or nobody if s has ended. The mutex is held.
func (m *Machine) hold(s *Session) {
	if s != nil && s.ended() {
		s = nil
	}
	m.holder = s
	close(m.leadership)
	m.leadership = make(chan struct{})
}

// claim gives the epoch after over's to c, unless it has that claim already (R8).
func (m *Machine) claim(ctx context.Context, s *Session, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Epoch, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.end()
	if epoch, err := m.resume(s, nonce); err == nil {
		return epoch, nil
	}
	m.mu.Lock()
	now, last, alive := m.record.Epoch, m.last, m.holder != nil
	m.mu.Unlock()
	switch {
	case now != over.Epoch:
		return 0, fmt.Errorf("%w: epoch %d is in force, not %d", coordination.ErrLost, now, over.Epoch)
	case alive && !over.Alive:
		return 0, fmt.Errorf("%w: the leader of epoch %d lives again", coordination.ErrLost, now)
	}
	next := Record{Epoch: now + 1, ID: c.ID, Data: bytes.Clone(c.Data), Nonce: nonce}
	err := m.write(Change{Record: &next, Last: last}, func() { m.hold(s) })
	return next.Epoch, err
}

// resume returns the epoch in force if it was claimed with nonce; its leader lives by s now.
func (m *Machine) resume(s *Session, nonce string) (coordination.Epoch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.record.Epoch == 0 || m.record.Nonce != nonce {
		return 0, m.stale(0)
	}
	m.hold(s)
	return m.record.Epoch, nil
}

// resign lets the leader of epoch live by no session.
func (m *Machine) resign(epoch coordination.Epoch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.record.Epoch != epoch {
		return m.stale(epoch)
	}
	m.hold(nil)
	return nil
}

// check returns ErrStaleEpoch unless epoch is in force.
func (m *Machine) check(epoch coordination.Epoch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.record.Epoch != epoch {
		return m.stale(epoch)
	}
	return nil
}

// stale is the error of whoever acts under epoch (0: one that is not known). The mutex is held.
func (m *Machine) stale(epoch coordination.Epoch) error {
	if epoch == 0 {
		return fmt.Errorf("%w: the epoch in force, %d, was claimed by another", coordination.ErrStaleEpoch, m.record.Epoch)
	}
	return fmt.Errorf("%w: %d is, the writer's is %d", coordination.ErrStaleEpoch, m.record.Epoch, epoch)
}

func (m *Machine) get(key string) (coordination.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if !ok {
		return coordination.Entry{}, fmt.Errorf("%w: %q", coordination.ErrNotFound, key)
	}
	e.Value = bytes.Clone(e.Value)
	return e, nil
}

func (m *Machine) list(prefix string) []coordination.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []coordination.Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) {
			e.Value = bytes.Clone(e.Value)
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b coordination.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return found
}

// commit applies all ops under epoch, or none.
func (m *Machine) commit(ctx context.Context, epoch coordination.Epoch, ops []coordination.Op) ([]coordination.Version, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.end()
	if err := m.check(epoch); err != nil {
		return nil, err
	}
	c, versions, err := m.plan(ops)
	if err != nil {
		return nil, err
	}
	return versions, m.write(c, func() {})
}

// plan turns ops into the change that they make, if all of their versions match.
func (m *Machine) plan(ops []coordination.Op) (Change, []coordination.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, versions := Change{Last: m.last}, make([]coordination.Version, len(ops))
	for i, op := range ops {
		now := coordination.NoVersion
		if e, ok := m.entries[op.Key]; ok {
			now = e.Version
		}
		if now != op.Version {
			return Change{}, nil, fmt.Errorf("%w: %q is at %d, not %d", coordination.ErrConflict, op.Key, now, op.Version)
		}
		versions[i] = now
		switch op.Kind {
		case coordination.OpCreate, coordination.OpSet:
			c.Last++
			versions[i] = c.Last
			c.Put = append(c.Put, coordination.Entry{Key: op.Key, Value: bytes.Clone(op.Value), Version: c.Last})
		case coordination.OpDelete:
			versions[i] = coordination.NoVersion
			c.Delete = append(c.Delete, op.Key)
		}
	}
	return c, versions, nil
}

func (m *Machine) join(s *Session, joined coordination.Member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.ended() {
		return coordination.ErrSessionEnded
	}
	m.members[joined.ID] = member{data: bytes.Clone(joined.Data), by: s}
	m.membersChanged()
	return nil
}

// memberList returns the members, in order of ID, and a channel that is closed when it changes.
func (m *Machine) memberList() ([]coordination.Member, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []coordination.Member
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		list = append(list, coordination.Member{ID: id, Data: bytes.Clone(m.members[id].data)})
	}
	return list, m.membership
}

// membersChanged wakes those who watch. The mutex is held.
func (m *Machine) membersChanged() {
	close(m.membership)
	m.membership = make(chan struct{})
}

// endSession takes away what lived by s. It reports false if s had ended before.
func (m *Machine) endSession(s *Session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.ended() {
		return false
	}
	close(s.done)
	if m.holder == s {
		m.hold(nil)
	}
	before := len(m.members)
	maps.DeleteFunc(m.members, func(_ string, joined member) bool { return joined.by == s })
	if len(m.members) != before {
		m.membersChanged()
	}
	return true
}
