package state

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// Store is the keyed state of one operator in one subtask: what its states, opened by name, say of the
// key that was set last.
type Store[K comparable] struct {
	keys     Keys[K]
	backend  Backend // nil: in memory
	restored []Restored
	// inBackend: what was restored are entries of a backend.
	inBackend bool
	states    []kept
	key       K
	hash      uint64 // by which a table finds key
	turn      uint64 // rises whenever what a state has found may be out of date; 0: no key was ever set
	failure   error
	keyless   bool                // no key is set
	now       int64               // ms since 1970, as the operator last told
	sweeps    []func(entries int) // remove what has outlived its time

	encodedKey []byte
	keyCodec   *record.Codec[K]
	one        [1]K
}

// kept is a state of a store.
type kept interface {
	describe() job.StateType
	// snapshot returns the state as it is now; ok is false where the backend has it.
	snapshot() (s Snapshot, ok bool)
}

// NewStore returns a store of the keys with what was restored of the operator, in the backend, or, if it
// is nil, in memory.
func NewStore[K comparable](keys Keys[K], restored []Restored, backend Backend) (*Store[K], error) {
	codec, err := record.CodecOf[K]()
	if err != nil {
		return nil, err
	}
	return &Store[K]{keys: keys, backend: backend, restored: restored, inBackend: hasParts(restored), keyless: true, keyCodec: codec}, nil
}

// hasParts reports whether a backend has written what was restored.
func hasParts(restored []Restored) bool {
	return slices.ContainsFunc(restored, func(r Restored) bool { return r.Handle.Part != "" })
}

// SetKey makes key the one that states are asked about. The store keeps it no longer than until the
// next call, but for what is set meanwhile.
func (s *Store[K]) SetKey(key K) { s.SetHashed(s.keys.Hash(key), key) }

// SetHashed is SetKey for a key whose hash, by Keys.Hash, is known.
func (s *Store[K]) SetHashed(hash uint64, key K) {
	s.key, s.hash, s.keyless = key, hash, false
	s.turn++
}

// Key returns the key that is set.
func (s *Store[K]) Key() K { return s.key }

// ClearKey says that no key is set: a state that is asked then fails.
func (s *Store[K]) ClearKey() {
	var none K
	s.key, s.keyless = none, true
	s.turn++
}

// SetTime tells the time, in ms since 1970, by which values grow old.
func (s *Store[K]) SetTime(ms int64) { s.now = ms }

// Sweep looks at so many entries of each state whose values grow old, and removes those that have.
func (s *Store[K]) Sweep(entries int) {
	for _, sweep := range s.sweeps {
		sweep(entries)
	}
}

// Types describes the states that were opened.
func (s *Store[K]) Types() []job.StateType {
	types := make([]job.StateType, len(s.states))
	for i, k := range s.states {
		types[i] = k.describe()
	}
	return types
}

// Snapshot returns all states as they are now.
func (s *Store[K]) Snapshot() ([]Snapshot, error) {
	s.turn++ // what was found may be shared now
	var all []Snapshot
	for _, k := range s.states {
		if one, ok := k.snapshot(); ok {
			all = append(all, one)
		}
	}
	if s.backend == nil {
		return all, nil
	}
	pieces, err := s.backend.Snapshot(s.Types())
	return append(all, pieces...), err
}

// open checks the name of a state that is opened, and returns what it continues from.
func (s *Store[K]) open(name string, kind job.StateKind) ([]Restored, error) {
	if name == "" || strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("%q is no name of a state: expected a text without zero bytes, by which it is found again", name)
	}
	for _, k := range s.states {
		if t := k.describe(); t.Name == name {
			return nil, fmt.Errorf("state %q is there twice: as a %s of %s, and as a %s; give each a name of its own", name, t.Kind, t.Schema, kind)
		}
	}
	pieces := Named(s.restored, name)
	for _, r := range pieces {
		if r.Handle.Kind != kind {
			return nil, fmt.Errorf("state %q was written as a %s, and is a %s now; give the new one another name", name, r.Handle.Kind, kind)
		}
	}
	return pieces, nil
}

// mustHaveKey fails where a state is asked and there is no key to ask about.
func (s *Store[K]) mustHaveKey(name string) {
	if s.keyless {
		s.fail(fmt.Errorf("state %q belongs to keys, and there is none here: it can be used for a record of a keyed input and in OnTimer only", name))
	}
}

// fail ends the function that asked.
func (s *Store[K]) fail(err error) {
	s.failure = Failure{err}
	panic(s.failure)
}

// recovered makes an error of a Failure.
func (s *Store[K]) recovered(err *error) {
	switch r := recover().(type) {
	case nil:
	case Failure:
		*err = r
	default:
		panic(r)
	}
}

// Err is the Failure that ended a function, should that have recovered from it.
func (s *Store[K]) Err() error { return s.failure }

// Failure is what a state panics with that cannot answer: its operator's subtask fails.
type Failure struct{ Err error }

func (f Failure) Error() string { return f.Err.Error() }
func (f Failure) Unwrap() error { return f.Err }
