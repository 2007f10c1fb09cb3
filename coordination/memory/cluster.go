// Package memory is coordination within one process: for tests, for a cluster that runs in
// one process, and for a simulator, which breaks the link of a Store as a network would.
//
// It keeps nothing: what was written is gone with the Cluster. Its only goroutines are
// those of Observe and WatchMembers, and have ended when the Store is closed.
package memory

import (
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/internal/state"
)

// Cluster is what all processes of a cluster see.
type Cluster struct {
	machine *state.Machine
}

// Change is what one claim or commit makes different.
type Change = state.Change

// New returns an empty cluster. It needs no closing.
func New() *Cluster { return NewWatched(nil) }

// NewWatched returns an empty cluster that tells of each change, one after the other, before anybody can see it.
// The change is not to be written to. nil: nobody is told.
func NewWatched(watch func(Change)) *Cluster {
	if watch == nil {
		return &Cluster{machine: state.New(state.Snapshot{}, nil)}
	}
	return &Cluster{machine: state.New(state.Snapshot{}, func(c Change) error { watch(c); return nil })}
}

// Open returns the session of a new process.
func (c *Cluster) Open() *Store {
	l := newLink()
	return &Store{Session: c.machine.Open(l), link: l}
}

// Store is a session and the link by which it reaches its Cluster. It is a
// coordination.Store; its other methods break the link and mend it.
type Store struct {
	*state.Session // its Expire ends the session as if the process had not been heard of for long
	link           *link
}

var _ coordination.Store = (*Store)(nil)

// Cut lets nothing pass until Heal. Requests wait in the order in which they were
// sent, and reach the cluster at Heal even if their callers have given up since, as bytes in
// a socket do: the delayed write that R1 and R8 are about. At most 1024 of them wait; more are dropped.
func (s *Store) Cut() { s.link.set(cut) }

// LoseReplies lets requests be executed, and their callers wait for the answer until Heal.
func (s *Store) LoseReplies() { s.link.set(mute) }

// Heal ends Cut and LoseReplies.
func (s *Store) Heal() { s.link.set(whole) }

// Delay makes each later request wait for d before it is sent.
func (s *Store) Delay(d time.Duration) { s.link.setDelay(d) }
