package state_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/state"
	"github.com/perennial-io/perennial/internal/state/statetest"
)

func TestMemory(t *testing.T) { statetest.Run(t, nil) }

// TestBackend runs the suite on the plainest backend that there can be.
func TestBackend(t *testing.T) { statetest.Run(t, sorted{}) }

// sorted opens backends that are sorted lists.
type sorted struct{}

func (sorted) Open(p state.Place) (state.Backend, error) {
	b := &list{}
	codec, err := record.CodecOf[pair]()
	if err != nil {
		return nil, err
	}
	for _, r := range p.Restored {
		err := state.Read(r.Data, codec, func(pairs []pair) error {
			for _, q := range pairs {
				group := int(q.Key[0])<<8 | int(q.Key[1])
				if record.Owner(group, p.Groups, p.Parallelism) == p.Subtask {
					_ = b.Set(q.Key, q.Value)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

type pair struct{ Key, Value []byte }

type list struct{ pairs []pair }

func (l *list) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(l.pairs, key, func(p pair, key []byte) int { return bytes.Compare(p.Key, key) })
}

func (l *list) Get(key []byte) ([]byte, bool, error) {
	if i, found := l.find(key); found {
		return l.pairs[i].Value, true, nil
	}
	return nil, false, nil
}

func (l *list) Set(key, value []byte) error {
	i, found := l.find(key)
	if !found {
		l.pairs = slices.Insert(l.pairs, i, pair{Key: bytes.Clone(key)})
	}
	l.pairs[i].Value = bytes.Clone(value)
	return nil
}

func (l *list) Append(key, more []byte) error {
	old, _, _ := l.Get(key)
	return l.Set(key, append(bytes.Clone(old), more...))
}

func (l *list) Delete(key []byte) error {
	if i, found := l.find(key); found {
		l.pairs = slices.Delete(l.pairs, i, i+1)
	}
	return nil
}

func (l *list) Scan(from, to []byte, each func(key, value []byte) bool) error {
	begin, _ := l.find(from)
	end, _ := l.find(to)
	for _, p := range slices.Clone(l.pairs[begin:max(begin, end)]) {
		if !each(p.Key, p.Value) {
			break
		}
	}
	return nil
}

func (l *list) Snapshot(states []job.StateType) ([]state.Snapshot, error) {
	codec, err := record.CodecOf[pair]()
	if err != nil {
		return nil, err
	}
	s, err := state.Small("", "", codec, l.pairs)
	s.Handle.Part = "all"
	all := []state.Snapshot{s}
	for _, t := range states {
		if t.Kind != job.TimersState { // which the store keeps
			all = append(all, state.Empty(t))
		}
	}
	return all, err
}

func (l *list) Close() error { return nil }
