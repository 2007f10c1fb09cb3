// Package coordination is leadership as an epoch, and small metadata that only
// the holder of the newest epoch can write.
//
// A lock says "nobody else is here", which no paused process can know. An epoch
// says "whoever comes later has a higher number", and every write checks it: a
// leader that was replaced while it slept finds its writes refused, whatever it
// believes. Suspecting a leader wrongly therefore costs latency and never safety.
//
// The contract is the interfaces Store and Term; the packages memory, local,
// etcd and zookeeper implement it, and all pass the one suite in coordinationtest.
// The rules named here (R1, R7 …) are those of docs/failover-protocol.md.
//
// Elect runs a candidate: it stands by, claims, and leads while a function runs.
//
// An implementation's goroutines belong to its Store and have ended when Close returns.
// Elect runs one more, the term, and has waited for it when it returns.
package coordination

import (
	"context"
	"errors"
)

// Epoch counts the leaders of a cluster: 1, 2, … It only grows, by one (I1).
type Epoch uint64

// Version is the identity of one write of a key. Versions of a key are compared
// for equality only. NoVersion means that the key does not exist. A key that was deleted
// and is created again may get a version that it had before: keys are better not used twice.
type Version int64

// NoVersion is the version of a key that does not exist.
const NoVersion Version = -1

// MaxValue is the largest value that a Store accepts, in bytes, and the largest sum of
// the values of one commit; more is refused with ErrTooLarge. ZooKeeper ends the
// session that sends it more than a megabyte, so larger values are refused before
// they are sent: keep bytes in storage and a pointer here.
const MaxValue = 512 << 10

// Errors of a Store. Others are of the transport: the outcome is then unknown only
// where the method says so.
var (
	ErrStaleEpoch   = errors.New("coordination: a newer epoch is in force")
	ErrLost         = errors.New("coordination: another candidate claimed first")
	ErrConflict     = errors.New("coordination: a version does not match")
	ErrNotFound     = errors.New("coordination: no such key")
	ErrTooLarge     = errors.New("coordination: value too large")
	ErrSessionEnded = errors.New("coordination: session ended")
	ErrUnknown      = errors.New("coordination: outcome unknown")
)

// Leadership is the epoch record: who leads, or led last.
type Leadership struct {
	Epoch Epoch  // 0: nobody has led yet
	ID    string // the leader's id
	Data  []byte // what the leader published about itself, such as its addresses
	Nonce string // of the claim that took this epoch
	// Alive is evidence, not proof: the leader's session still existed when this was read.
	Alive bool
}

// Candidate is a process that would lead.
type Candidate struct {
	ID   string // unique among the processes of the cluster, new at each start
	Data []byte // published with the epoch
}

// Member is a process that has said it is here; it vanishes with its session.
type Member struct {
	ID   string
	Data []byte
}

// Entry is a key with its value.
type Entry struct {
	Key     string
	Value   []byte
	Version Version
}

// A Store is one process's session with coordination. When the session ends, Done is
// closed, every method returns ErrSessionEnded, and the process opens another Store.
// Keys are slash-separated paths without a leading slash, such as "jobs/1f/intent". No key
// is the directory of another: where there is "jobs/1f/intent" there is no key "jobs/1f".
// All methods may be called at once from several goroutines.
type Store interface {
	// Leader reads the epoch record from the quorum: no claim that was acknowledged
	// before the call is missed (R7).
	Leader(ctx context.Context) (Leadership, error)

	// Observe sends the leadership as it is and then each change of it, its Alive
	// included, until ctx is done or the session ends; then the channel is closed.
	// A slow reader misses leaderships in between, never the last one.
	Observe(ctx context.Context) <-chan Leadership

	// Claim takes the epoch after over.Epoch. It fails with ErrLost if the epoch in
	// force is another than over.Epoch, or if over is not Alive and its leader lives again: who
	// claims over a leader that lives says so. A lost connection is resolved inside, by
	// reading back the claim's nonce and sending the same claim again (R8); only when
	// ctx ends first is the outcome unknown: ErrUnknown, and Resume tells later.
	// The caller makes the nonce with NewNonce and may pass the same one again.
	Claim(ctx context.Context, over Leadership, c Candidate, nonce string) (Term, error)

	// Resume returns the term of an epoch that was claimed with this nonce, perhaps
	// over a session that has ended since, if that epoch is still in force, and marks
	// its leader alive again. Otherwise it fails with ErrStaleEpoch. It may be called while
	// the earlier session still lives: from then on the leader lives with this one.
	Resume(ctx context.Context, c Candidate, nonce string) (Term, error)

	// Join publishes m until the session ends. Joining again replaces its data, also over a
	// new session while an earlier one still lives, whose end then takes nothing away.
	Join(ctx context.Context, m Member) error

	// Members lists who has joined, in order of ID.
	Members(ctx context.Context) ([]Member, error)

	// WatchMembers sends the members as they are and then each change, like Observe.
	WatchMembers(ctx context.Context) <-chan []Member

	// Done is closed when the session has ended, by Close or by expiry.
	Done() <-chan struct{}

	// Close ends the session at once: what it joined vanishes. The epoch stays as it is.
	Close() error
}

// A Term is the right to write under one epoch. It never outlives its Store.
type Term interface {
	// Epoch is the number that was claimed.
	Epoch() Epoch

	// Check asks the quorum whether the epoch is still in force: nil, or ErrStaleEpoch.
	// An answer that a leader calls current follows a Check that began after the
	// question arrived (R15).
	Check(ctx context.Context) error

	// Get reads a key, at least as new as the claim and as every commit of this term
	// that has returned (I10). ErrNotFound if it is not there.
	Get(ctx context.Context, key string) (Entry, error)

	// List reads the entries whose key starts with prefix, which ends with "/", at any
	// depth, in order of key, as new as Get. It is no snapshot of one moment: who
	// decides from several entries names their versions in the commit (R1).
	List(ctx context.Context, prefix string) ([]Entry, error)

	// Commit applies all ops, each of another key, or none, if the epoch is in force: else
	// ErrStaleEpoch. If a version does not match: ErrConflict. It returns the new version of each op's key, in
	// order (NoVersion for a delete; the one given for a check).
	//
	// A lost connection is resolved inside: written values carry a nonce, which is read
	// back, and the same conditional write is sent again (R8). A commit that only deletes is
	// recognised by its keys being gone. Only when ctx ends first is the outcome unknown:
	// ErrUnknown (or ErrSessionEnded, of a session that ended under way); the caller re-reads
	// before it decides anew. Of two commits of one version
	// that are under way at once one wins, but a winner whose reply is lost may then be told
	// ErrConflict: a caller that must know has no two commits of a key under way.
	Commit(ctx context.Context, ops ...Op) ([]Version, error)

	// Resign marks the leader as gone, so that a standby claims at once. The epoch stays
	// in force, and the term can be used, until somebody claims the next.
	Resign(ctx context.Context) error
}

// OpKind tells what an Op does.
type OpKind int

// The kinds of Op.
const (
	OpCheck  OpKind = iota + 1 // the key has this version (NoVersion: it does not exist)
	OpCreate                   // the key does not exist, and is created
	OpSet                      // the key has this version, and gets the value
	OpDelete                   // the key has this version, and is deleted
)

// Op is one step of a commit.
type Op struct {
	Kind    OpKind
	Key     string
	Value   []byte
	Version Version
}

// Check is an Op that requires key to be at version v.
func Check(key string, v Version) Op { return Op{Kind: OpCheck, Key: key, Version: v} }

// Create is an Op that creates key, which must not exist.
func Create(key string, value []byte) Op {
	return Op{Kind: OpCreate, Key: key, Value: value, Version: NoVersion}
}

// Set is an Op that replaces the value of key, which must be at version v.
func Set(key string, value []byte, v Version) Op {
	return Op{Kind: OpSet, Key: key, Value: value, Version: v}
}

// Delete is an Op that removes key, which must be at version v.
func Delete(key string, v Version) Op { return Op{Kind: OpDelete, Key: key, Version: v} }
