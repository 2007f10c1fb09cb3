package execution

import "github.com/perennial-io/perennial/internal/job"

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

// Drain has the sources on an instance end as if their input had.
type Drain struct {
	Instance string
	Attempt  job.Attempt
}

// RequestSlots asks for slots until they are granted or released. Answered by any number
// of SlotsMissing, then SlotsGranted.
type RequestSlots struct {
	Slots    int
	Restarts int // without a completed checkpoint; by them the restart strategy has it wait first
}

// ReleaseSlots ends every request and reservation of the job.
type ReleaseSlots struct{}

// Deploy sends the committed attempt's slots to an instance.
type Deploy struct {
	Instance string
	Attempt  job.Attempt
	Slots    []int
}

// Stop ends the attempts up to Attempt on an instance. Answered by Stopped.
type Stop struct {
	Instance string
	Attempt  job.Attempt
}

// Confirm tells an instance that the outcome of an attempt is committed.
type Confirm struct {
	Instance string
	Attempt  job.Attempt
}

// Publish makes the committed list of outputs visible, or what a checkpoint names. Answered by Published.
type Publish struct {
	Outputs string
	Stopped *job.Pointer // not nil: it is that checkpoint's
}

// Discard removes what finished subtasks of a given-up attempt wrote, as well as can be: its end
// is committed, so nobody refers to it (R13).
type Discard struct{ Outputs []job.Output }

// Trigger begins the open checkpoint on an instance.
type Trigger struct {
	Instance   string
	Attempt    job.Attempt
	Checkpoint job.CheckpointID
	Stop       bool             // sources emit nothing after its barrier
	Base       job.CheckpointID // as in rpc.Trigger
}

// Closed tells an instance that a checkpoint is completed or aborted.
type Closed struct {
	Instance   string
	Attempt    job.Attempt
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
func (Deploy) action()            {}
func (Stop) action()              {}
func (Confirm) action()           {}
func (Publish) action()           {}
func (Discard) action()           {}
