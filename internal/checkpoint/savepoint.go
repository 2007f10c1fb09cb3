package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
)

// Savepoint is what a savepoint consists of: a completed checkpoint that was copied out, without its
// outputs. File names are relative to its directory, so that it can be moved.
type Savepoint struct {
	Manifest
	Savepoint bool       `json:"savepoint"` // true: else it is the manifest of a checkpoint
	JobName   string     `json:"jobName"`
	Graph     *job.Graph `json:"graph"` // of the job that wrote it
}

// NewSavepoint is what a copy of m consists of. rename gives each file its relative name.
func NewSavepoint(m *Manifest, graph *job.Graph, rename func(file string) string) *Savepoint {
	s := &Savepoint{Manifest: *m, Savepoint: true, JobName: graph.Name, Graph: graph}
	s.Subtasks = nil
	for _, ack := range m.Subtasks {
		states := ack.States
		ack.States, ack.Outputs = nil, nil
		for _, h := range states {
			if h.File != "" {
				h.File = rename(h.File)
			}
			ack.States = append(ack.States, h)
		}
		s.Subtasks = append(s.Subtasks, ack)
	}
	return s
}

// Encode returns it as it is stored, in the form of Manifest.Encode. It is the same whoever copies.
func (s *Savepoint) Encode() []byte {
	c := *s
	c.Manifest = s.ordered()
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // only a time could fail, and writable has seen to it
	}
	return seal(b)
}

// DecodeSavepoint reads what Encode wrote, as Decode does.
func DecodeSavepoint(b []byte) (*Savepoint, error) {
	s := new(Savepoint)
	if err := decode(b, s); err != nil {
		return nil, err
	}
	if err := s.Manifest.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return s, s.check()
}

func (s *Savepoint) check() error {
	if !s.Savepoint || s.Graph == nil {
		return errors.New("manifest: it is that of a checkpoint, not of a savepoint")
	}
	if err := s.Graph.Validate(); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	for _, ack := range s.Subtasks {
		if ack.Subtask.Vertex >= len(s.Graph.Vertices) {
			return fmt.Errorf("manifest: subtask %v is not in its plan", ack.Subtask)
		}
		for _, h := range ack.States {
			if strings.ContainsAny(h.File, `/\`) || strings.HasPrefix(h.File, ".") {
				return fmt.Errorf("manifest: %q is no file of a savepoint", h.File)
			}
		}
	}
	return nil
}
