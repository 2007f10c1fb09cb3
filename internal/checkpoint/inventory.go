package checkpoint

import (
	"cmp"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
)

// Inventory is what a savepoint holds, as a person asks for it.
type Inventory struct {
	Job        job.ID           `json:"job"`
	Name       string           `json:"name"`
	Checkpoint job.CheckpointID `json:"checkpoint"`
	Taken      string           `json:"taken"` // RFC 3339
	Size       int64            `json:"size"`  // bytes of state
	KeyGroups  int              `json:"keyGroups"`
	Operators  []OperatorHeld   `json:"operators"`
}

// OperatorHeld is an operator that has state.
type OperatorHeld struct {
	Name        string      `json:"name"`
	Parallelism int         `json:"parallelism"`
	States      []StateHeld `json:"states"`
}

// StateHeld is a state of it.
type StateHeld struct {
	job.StateType
	Size   int64       `json:"size"`
	Pieces []PieceHeld `json:"pieces"` // by subtask
}

// PieceHeld is what one subtask wrote. Of keyed state it has the key groups from First to Last.
type PieceHeld struct {
	Subtask int    `json:"subtask"`
	Size    int64  `json:"size"`
	First   *int   `json:"firstKeyGroup,omitempty"`
	Last    *int   `json:"lastKeyGroup,omitempty"`
	File    string `json:"file,omitempty"` // "": it is in the manifest
}

// Inventory lists what the savepoint holds, by operator and state.
func (s *Savepoint) Inventory() Inventory {
	inv := Inventory{
		Job: s.Job, Name: s.JobName, Checkpoint: s.Checkpoint, Size: s.Size(), KeyGroups: s.Graph.MaxParallelism,
		Taken: s.Completed.Format("2006-01-02T15:04:05.000Z07:00"), Operators: []OperatorHeld{},
	}
	for _, v := range s.Graph.Vertices {
		for _, op := range v.Operators {
			if held := s.held(op.Name, v.Parallelism); len(held.States) > 0 {
				inv.Operators = append(inv.Operators, held)
			}
		}
	}
	return inv
}

func (s *Savepoint) held(operator string, parallelism int) OperatorHeld {
	held := OperatorHeld{Name: operator, Parallelism: parallelism}
	for _, piece := range s.States(operator) {
		kind := job.StateType{Name: piece.State, Kind: piece.Kind, Schema: piece.Schema}
		if piece.Kind == job.StoreState { // whatever part
			kind.Name = "(all keyed states)"
		}
		i := slices.IndexFunc(held.States, func(h StateHeld) bool { return h.StateType == kind })
		if i < 0 {
			held.States = append(held.States, StateHeld{StateType: kind})
			i = len(held.States) - 1
		}
		p := PieceHeld{Subtask: piece.Subtask, Size: piece.Size, File: piece.File}
		if piece.Kind.Keyed() || piece.Kind == job.StoreState {
			first, last := keyGroups(piece.Subtask, s.Graph.MaxParallelism, parallelism)
			p.First, p.Last = &first, &last
		}
		held.States[i].Size += piece.Size
		if last := len(held.States[i].Pieces) - 1; piece.Part != "" && last >= 0 && held.States[i].Pieces[last].Subtask == piece.Subtask {
			held.States[i].Pieces[last].Size += piece.Size // its File is that of the first part
			continue
		}
		held.States[i].Pieces = append(held.States[i].Pieces, p)
	}
	slices.SortStableFunc(held.States, func(a, b StateHeld) int { return cmp.Compare(a.Name, b.Name) })
	return held
}

// keyGroups is the range that a subtask has: the groups of which record.Owner says so.
func keyGroups(subtask, groups, parallelism int) (first, last int) {
	first = (subtask*groups + parallelism - 1) / parallelism
	return first, ((subtask+1)*groups+parallelism-1)/parallelism - 1
}
