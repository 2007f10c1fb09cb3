// Package checkpoint is the pure part of checkpoints: when the next one is due, whether one is
// complete, what is garbage, and the manifest, which says what a complete one consists of.
//
// It never does I/O, reads no clock and keeps nothing between two calls; it starts no goroutine.
// What is decided here becomes true by a committed version of the job's intent only.
package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// Version is the format in which manifests are written.
const Version = 1

// ErrNewer says that a manifest is whole, and of a format that this program does not know.
var ErrNewer = errors.New("checkpoint: written by a newer version of Perennial")

// Manifest is what a completed checkpoint consists of.
type Manifest struct {
	Version    int              `json:"version"` // Encode sets it
	Job        job.ID           `json:"job"`
	Checkpoint job.CheckpointID `json:"checkpoint"`
	Epoch      uint64           `json:"epoch"`   // of the leader that found it complete
	Attempt    job.Attempt      `json:"attempt"` // whose subtasks' state this is
	GraphHash  string           `json:"graphHash"`
	Bounded    bool             `json:"bounded"` // every checkpoint then names all outputs so far
	Triggered  time.Time        `json:"triggered"`
	Completed  time.Time        `json:"completed"`
	// Subtasks are the acknowledgements, one of each subtask, by vertex and index.
	Subtasks []job.Acknowledgement `json:"subtasks"`
}

// State is a piece of an operator's state, and the index of the subtask that wrote it.
type State struct {
	Subtask int
	job.StateHandle
}

// States are the pieces of this operator's state, by subtask.
func (m *Manifest) States(operator string) []State {
	var states []State
	for _, ack := range m.Subtasks {
		for _, h := range ack.States {
			if h.Operator == operator {
				states = append(states, State{ack.Subtask.Index, h})
			}
		}
	}
	return states
}

// Outputs are the hidden files that the checkpoint names, of all sinks.
func (m *Manifest) Outputs() []job.Output {
	var outputs []job.Output
	for _, ack := range m.Subtasks {
		for _, o := range ack.Outputs {
			outputs = append(outputs, o.Output)
		}
	}
	return outputs
}

// Size is how large all states are together, in bytes.
func (m *Manifest) Size() int64 {
	var size int64
	for _, ack := range m.Subtasks {
		for _, h := range ack.States {
			size += h.Size
		}
	}
	return size
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the manifest as it is stored: a line of JSON, and a line with the CRC-32C of the
// first one in hex. It is the same for equal manifests, in whichever order the subtasks are.
func (m *Manifest) Encode() []byte {
	b, err := json.Marshal(m.ordered())
	if err != nil {
		panic(err) // only a time could fail, and writable has seen to it
	}
	return seal(b)
}

// ordered is what is written of m.
func (m *Manifest) ordered() Manifest {
	c := *m
	c.Version = Version
	c.Triggered, c.Completed = writable(m.Triggered), writable(m.Completed)
	c.Subtasks = slices.SortedStableFunc(slices.Values(m.Subtasks), func(a, b job.Acknowledgement) int {
		return compare(a.Subtask, b.Subtask)
	})
	return c
}

func seal(b []byte) []byte {
	return fmt.Appendf(b, "\n%08x\n", crc32.Checksum(b, castagnoli))
}

// writable is t, or no time if a wild clock's year has no RFC 3339: a time informs, and must not
// cost a checkpoint.
func writable(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}
	}
	return t
}

func compare(a, b job.Subtask) int {
	return cmp.Or(cmp.Compare(a.Vertex, b.Vertex), cmp.Compare(a.Index, b.Index))
}

// Decode reads what Encode wrote. It refuses everything that is damaged or contradicts itself, and
// with ErrNewer what is neither but of a later format.
func Decode(b []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := decode(b, m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// decode reads into what was sealed.
func decode(b []byte, into any) error {
	text, err := unseal(b)
	if err != nil {
		return err
	}
	var format struct{ Version int }
	if err := json.Unmarshal(text, &format); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if format.Version > Version {
		return fmt.Errorf("%w: manifest of format %d, this program reads up to %d", ErrNewer, format.Version, Version)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// unseal checks the last line and returns what is before it.
func unseal(b []byte) ([]byte, error) {
	const tail = len("\n01234567\n")
	if len(b) <= tail || b[len(b)-tail] != '\n' || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("manifest of %d bytes is truncated: its last line is no checksum", len(b))
	}
	text := b[: len(b)-tail : len(b)-tail]
	if want := seal(text); !bytes.Equal(want, b) {
		return nil, fmt.Errorf("manifest: its checksum says %q, its content has %q", b[len(b)-tail+1:len(b)-1], want[len(want)-tail+1:len(want)-1])
	}
	return text, nil
}

func (m *Manifest) check() error {
	if m.Version < 1 {
		return fmt.Errorf("%d is no format", m.Version)
	}
	if _, err := job.ParseID(string(m.Job)); err != nil {
		return err
	}
	if m.Checkpoint == 0 || m.Attempt == 0 {
		return fmt.Errorf("checkpoint %d of attempt %d: both count from 1", m.Checkpoint, m.Attempt)
	}
	room := int64(math.MaxInt64) // so that Size is right too
	for i, ack := range m.Subtasks {
		if i > 0 && compare(m.Subtasks[i-1].Subtask, ack.Subtask) >= 0 {
			return fmt.Errorf("subtask %v comes twice or out of order", ack.Subtask)
		}
		if err := m.checkSubtask(ack, &room); err != nil {
			return fmt.Errorf("subtask %v: %w", ack.Subtask, err)
		}
	}
	return nil
}

func (m *Manifest) checkSubtask(ack job.Acknowledgement, room *int64) error {
	if ack.Subtask.Vertex < 0 || ack.Subtask.Index < 0 {
		return errors.New("both numbers count from 0")
	}
	if ack.Checkpoint != m.Checkpoint {
		return fmt.Errorf("it acknowledged checkpoint %d, this is %d", ack.Checkpoint, m.Checkpoint)
	}
	if ack.Failure != "" {
		return fmt.Errorf("it contributed nothing: %s", ack.Failure)
	}
	for _, h := range ack.States {
		if h.Size < 0 || h.Size > *room {
			return fmt.Errorf("operator %q: no state has %d bytes", h.Operator, h.Size)
		}
		*room -= h.Size
	}
	return nil
}
