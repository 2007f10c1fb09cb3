package execution

import (
	"time"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Event is something that happened: one of the types below.
type Event interface{ event() }

// Began is the first event of an Execution: a leader begins to look after the job.
type Began struct{}

// Committed says that the intent of the last Commit action is in force. Its owner has
// filled in what only it knows: names in storage, and the time.
type Committed struct{ Intent Intent }

// Planned answers the Plan action: a graph, or why the job has none.
type Planned struct {
	Request job.ID // as in Plan
	Graph   *job.Graph
	Error   string
}

// failure is why there is no plan, or "".
func (p Planned) failure() string {
	switch {
	case p.Error != "":
		return p.Error
	case p.Graph == nil:
		return "the TaskManager answered with neither a plan nor an error"
	}
	if err := p.Graph.Validate(); err != nil {
		return err.Error()
	}
	return ""
}

// RequestReceived says that a client asks something of the job.
type RequestReceived struct {
	Request job.Request
	At      time.Time
}

// SlotsChecked answers CheckSlots.
type SlotsChecked struct {
	Request job.ID
	Missing int
}

// SavepointOpened answers OpenSavepoint: what there is, or why it cannot be used.
type SavepointOpened struct {
	Pointer job.Pointer
	Source  checkpoint.Source
	Error   string
}

// Copied answers Copy: where the savepoint is, or why there is none.
type Copied struct {
	Request  job.ID
	Location string
	Size     int64
	Error    string
}

// SlotsGranted answers RequestSlots: the instance of each slot that it asked for. They are reserved.
type SlotsGranted struct{ Assignment []string }

// SlotsMissing says that RequestSlots waits, and for how many slots.
type SlotsMissing struct{ Missing int }

// Yield says that the job is to give up all of its slots: others wait for them, and it waits for more itself.
type Yield struct{}

// Ready says that a TaskManager is connected and what it knows of this job. It is sent again
// each time that the TaskManager has connected anew.
type Ready struct {
	Instance string
	Attempts []rpc.AttemptReport
}

// Gone says that a TaskManager is not connected any more. That is no evidence of anything.
type Gone struct{ Instance string }

// Dead says that the death of a TaskManager is committed: nothing of what it was given will ever be heard, and nothing runs, or
// it may run until Over (R4).
type Dead struct {
	Instance string
	Reason   string    // for a person
	Planned  bool      // it was told to end, and ended in order: what restarts for it is not counted
	Until    time.Time // when Over will come at the latest, for a person; zero: nothing of it runs any more
}

// Over says that nothing runs any more of what a dead TaskManager was given: its lease is over, or there is proof.
type Over struct{ Instance string }

// Draining says that a TaskManager is to be left, which is committed. With Force nothing is waited for.
type Draining struct {
	Instance string
	Force    bool
}

// Changed is news from a TaskManager about an attempt.
type Changed struct {
	Instance string
	Attempt  rpc.AttemptReport
}

// Stopped is a TaskManager's promise that no attempt of a region up to Attempt runs there, ever (R6).
type Stopped struct{ Part }

// Progressed carries counters of running subtasks.
type Progressed struct{ Progress rpc.Progress }

// CancelRequested says that a client wants the job to be canceled.
type CancelRequested struct{}

// Published answers the Publish action. Error is what no retry mends, or "".
type Published struct{ Error string }

// CheckpointDue says that the schedule wants a checkpoint.
type CheckpointDue struct{}

// CheckpointExpired says that a checkpoint has taken too long.
type CheckpointExpired struct{ Checkpoint job.CheckpointID }

// Acknowledged is what a subtask contributes to a checkpoint.
type Acknowledged struct {
	Instance string
	Attempt  job.Attempt
	Ack      job.Acknowledgement
}

// CheckpointPublished answers PublishCheckpoint. Of an Unreadable manifest nothing could be made visible: the
// sinks name it again, or a restart strikes the checkpoint.
type CheckpointPublished struct {
	Checkpoint job.CheckpointID
	Unreadable bool
	Error      string // what no retry mends, or ""
}

// NotStored says that a Commit that completes a checkpoint, or begins a change of a running job, was not made, because
// the manifest or the plan cannot be stored: nothing was committed.
type NotStored struct{ Error string }

func (RequestReceived) event()     {}
func (SlotsChecked) event()        {}
func (SavepointOpened) event()     {}
func (Copied) event()              {}
func (CheckpointDue) event()       {}
func (CheckpointExpired) event()   {}
func (Acknowledged) event()        {}
func (CheckpointPublished) event() {}
func (NotStored) event()           {}
func (Began) event()               {}
func (Committed) event()           {}
func (Planned) event()             {}
func (SlotsGranted) event()        {}
func (SlotsMissing) event()        {}
func (Yield) event()               {}
func (Ready) event()               {}
func (Gone) event()                {}
func (Dead) event()                {}
func (Over) event()                {}
func (Draining) event()            {}
func (Changed) event()             {}
func (Stopped) event()             {}
func (Progressed) event()          {}
func (CancelRequested) event()     {}
func (Published) event()           {}
