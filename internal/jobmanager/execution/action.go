package execution

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
)

// Action is something to do: one of the types below. The owner of an Execution performs actions
// in the order in which they are returned.
type Action interface{ action() }

// Commit stores what the intent points to, then commits the intent, then answers with
// Committed. Nothing else is decided meanwhile. A commit that fails ends the term.
type Commit struct {
	Intent  Intent
	Graph   *job.Graph   // to be stored, if not nil; Intent.GraphHash is its hash
	Outputs []job.Output // to be stored when Intent.Phase is Publishing; its name goes into Intent.Outputs
	// Completes is what the newest of Intent.Completed consists of, to be stored as its manifest, if not nil.
	Completes []job.Acknowledgement
}

// Plan asks any TaskManager for the job's graph, and another when that one cannot. Answered
// by Planned.
type Plan struct {
	Request job.ID // the change that it is for; "": the job itself
	Spec    job.Spec
}

// CheckSlots asks whether the job could have so many slots instead of those that it has. Answered by SlotsChecked.
type CheckSlots struct {
	Request job.ID
	Slots   int
}

// OpenSavepoint reads what a savepoint consists of. Answered by SavepointOpened.
type OpenSavepoint struct{ Location string }

// Note tells a person what becomes of state.
type Note struct{ Lines []string }

// Copy makes a savepoint of a completed checkpoint. Answered by Copied.
type Copy struct {
	Request   job.ID
	Pointer   job.Pointer
	Directory string // as in job.Request
}

// Part names what one TaskManager has of one attempt in one task process: the lowest of its regions, of those
// of the plan (job.Graph.Regions).
type Part struct {
	Instance string
	Region   int
	Attempt  job.Attempt
}

func (p Part) String() string {
	if p.Region == 0 {
		return fmt.Sprintf("%s attempt=%d", p.Instance, p.Attempt)
	}
	return fmt.Sprintf("%s attempt=%d region=%d", p.Instance, p.Attempt, p.Region)
}

// Drain has the sources of a part end as if their input had.
type Drain struct{ Part }

// RequestSlots asks for slots until they are granted or released, or others asked for. Answered by any number
// of SlotsMissing, then SlotsGranted.
type RequestSlots struct {
	Slots    int
	Kept     []string // the instances of those that the job keeps
	Restarts int      // without a completed checkpoint; by them the restart strategy has it wait first
	Move     bool     // the job runs on all that it keeps, meanwhile
}

// ReleaseSlots ends every request and reservation of the job.
type ReleaseSlots struct{}

// HoldSlots ends every request of the job, and reserves the slots of its assignment.
type HoldSlots struct{ Assignment []string }

// Deploy sends a part of the committed assignment to its instance.
type Deploy struct {
	Part
	Slots    []int
	Subtasks []job.Subtask
}

// Stop ends the attempts of a region up to Attempt on an instance. Answered by Stopped.
type Stop struct{ Part }

// Confirm tells an instance that the outcome of an attempt is committed.
type Confirm struct{ Part }

// Publish makes the committed list of outputs visible, or what a checkpoint names. Answered by Published.
type Publish struct {
	Outputs string
	Stopped *job.Pointer // not nil: it is that checkpoint's
}

// Discard removes what finished subtasks of a given-up attempt wrote, as well as can be: its end
// is committed, so nobody refers to it (R13).
type Discard struct{ Outputs []job.Output }

// Trigger begins the open checkpoint in a part.
type Trigger struct {
	Part
	Checkpoint job.CheckpointID
	Stop       bool             // sources emit nothing after its barrier
	Base       job.CheckpointID // as in rpc.Trigger
}

// Closed tells a part that a checkpoint is completed or aborted.
type Closed struct {
	Part
	Checkpoint job.CheckpointID
	Completed  job.CheckpointID // the newest that is completed, or 0
	Published  bool             // what it named is visible
	Resume     bool             // it was that of a stop, which failed: sources go on
}

// PublishCheckpoint makes visible what a completed checkpoint names. Answered by CheckpointPublished.
type PublishCheckpoint struct{ Pointer job.Pointer }

func (Trigger) action()           {}
func (CheckSlots) action()        {}
func (OpenSavepoint) action()     {}
func (Note) action()              {}
func (Copy) action()              {}
func (Drain) action()             {}
func (Closed) action()            {}
func (PublishCheckpoint) action() {}
func (Commit) action()            {}
func (Plan) action()              {}
func (RequestSlots) action()      {}
func (ReleaseSlots) action()      {}
func (HoldSlots) action()         {}
func (Deploy) action()            {}
func (Stop) action()              {}
func (Confirm) action()           {}
func (Publish) action()           {}
func (Discard) action()           {}
