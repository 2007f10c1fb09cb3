package execution

import (
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// Phase is where a job stands, as committed. It is a job.State, and Publishing.
type Phase string

// The phases of a job.
const (
	Created    Phase = "CREATED"    // to be planned, or waiting for slots; no attempt runs
	Running    Phase = "RUNNING"    // the attempt is deployed, or about to be
	Publishing Phase = "PUBLISHING" // every subtask has finished; outputs are being renamed
	Failing    Phase = "FAILING"    // the attempt is being stopped, then Failed
	Cancelling Phase = "CANCELLING" // the attempt is being stopped, then Canceled
	Restarting Phase = "RESTARTING" // the attempt is being stopped, then Created
	Failed     Phase = "FAILED"
	Canceled   Phase = "CANCELED"
	Finished   Phase = "FINISHED"
)

// State is the phase as it is shown.
func (p Phase) State() job.State {
	if p == Publishing {
		return job.Running
	}
	return job.State(p)
}

// Terminal reports whether the phase is final (I9).
func (p Phase) Terminal() bool { return p.State().Terminal() }

// Intent is all that is committed about a job. Each decision is a new version of it.
type Intent struct {
	Spec  job.Spec `json:"spec"`
	Phase Phase    `json:"phase"`
	// Attempt is the latest that was ever committed, 0 before the first (I3).
	Attempt job.Attempt `json:"attempt"`
	// Regions are the attempts of the plan's regions once one was started without the others; nil: all are of Attempt.
	Regions []job.Attempt `json:"regions,omitempty"`
	// GivenUp are those of them that are being ended, or wait for slots, to start again while the others run.
	GivenUp []int `json:"givenUp,omitempty"`
	// Uncounted says that all of GivenUp were planned to be, which counts as no restart.
	Uncounted bool `json:"uncounted,omitempty"`
	// GraphHash names the plan in storage, "" until the first attempt; Name and Slots are
	// what a list of jobs shows of it.
	GraphHash string `json:"graph,omitempty"`
	Name      string `json:"name,omitempty"`
	Slots     int    `json:"slots,omitempty"`
	// Assignment names the TaskManager instance of each slot of Attempt. It outlives the
	// attempt, to tell its TaskManagers that its outcome is committed.
	Assignment []string `json:"assignment,omitempty"`
	// Outputs names the list, in storage, of what becomes visible.
	Outputs string `json:"outputs,omitempty"`
	// Failure is why the job fails or failed, or why its latest attempt was given up.
	Failure string `json:"failure,omitempty"`
	// Restarts counts the restarts since a checkpoint was last completed.
	Restarts int `json:"restarts,omitempty"`
	// TotalRestarts counts those of the job's life, and RestartedAt is when the newest of them were
	// committed, the oldest first: as many as the restart strategy asks for.
	TotalRestarts int         `json:"totalRestarts,omitempty"`
	RestartedAt   []time.Time `json:"restartedAt,omitempty"`
	// Restore is the checkpoint that Attempt continued from; nil: from the beginning.
	Restore *job.Pointer `json:"restore,omitempty"`
	// From is the savepoint that the job began with; nil: none.
	From *job.Pointer `json:"from,omitempty"`
	// Notes tell a person which states that had nothing to begin with, and which were dropped.
	Notes []string `json:"notes,omitempty"`
	// Changed is what the job is since its Spec was changed, Changes times; nil: Spec.
	Changed *job.Spec `json:"changed,omitempty"`
	Changes int       `json:"changes,omitempty"`
	// Stopped is the checkpoint of a stop: what it names is what becomes visible, and no more.
	Stopped *job.Pointer `json:"stopped,omitempty"`
	Checkpoints
	Requests
	job.Times
}

// Present is what the job is now.
func (in *Intent) Present() job.Spec {
	if in.Changed != nil {
		return *in.Changed
	}
	return in.Spec
}

// Checkpoints is what is committed about a job's checkpoints. It is a part of the intent, so that every
// decision about them is a version of the one node that all decisions are made from (R1).
type Checkpoints struct {
	Reserved   job.CheckpointID `json:"reserved,omitempty"` // the highest id that was ever taken
	ReservedAt time.Time        `json:"reservedAt,omitzero"`
	Open       job.CheckpointID `json:"open,omitempty"` // under way: Reserved, or 0
	ClosedAt   time.Time        `json:"closedAt,omitzero"`
	// Completed are the retained ones, the newest first.
	Completed []job.Pointer `json:"completed,omitempty"`
	// Completions is how many were ever completed.
	Completions int `json:"completions,omitempty"`
	// Unpublished says that outputs which the newest one names may still have to be renamed.
	Unpublished bool   `json:"unpublished,omitempty"`
	Aborted     int    `json:"aborted,omitempty"`   // how many were
	Failures    int    `json:"failures,omitempty"`  // of them in a row, up to now
	LastAbort   string `json:"lastAbort,omitempty"` // why the last was
	Damaged     string `json:"damaged,omitempty"`   // why the last that could not be restored could not, so that an older one was
}

// Holds reports whether the intent reserves the slots of its assignment.
func (in *Intent) Holds() bool {
	return in.Phase != Created && !in.Phase.Terminal()
}

// instances lists the instances of the assignment, each once, in order of their first slot.
func (in *Intent) instances() []string {
	var list []string
	seen := make(map[string]bool)
	for _, i := range in.Assignment {
		if !seen[i] {
			seen[i] = true
			list = append(list, i)
		}
	}
	return list
}
