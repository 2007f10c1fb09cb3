package failpoint

// Point is a step at which a process may be made to die. Its name tells who is there, and at what.
type Point uint8

// The points. Those of a leader's commit come in pairs: just before the write, and just after it.
const (
	None Point = iota // no step

	LeaderClaimed  // an epoch, and has read nothing
	LeaderRead     // all that is committed, and has asked nobody
	LeaderAdopted  // what TaskManagers run, and does not serve
	LeaderServes   // from now on
	LeaderReserves // a checkpoint's id
	LeaderReserved
	LeaderTriggered    // a TaskManager was sent a Trigger
	LeaderAcknowledged // an acknowledgement was taken in
	LeaderStores       // the manifest
	LeaderCompletes    // the manifest is stored, the pointer is not committed
	LeaderCompleted
	LeaderClosed // a TaskManager was sent a Closed
	LeaderAborts // a checkpoint
	LeaderAborted
	LeaderRenames   // outputs that are named in what is committed
	LeaderRenamed   // one of them
	LeaderPublished // all of them, and that is not recorded
	LeaderCollects  // checkpoints that are of no use
	LeaderUnlists   // the manifest of one is removed, its other files are there
	LeaderDeleted   // one of them
	LeaderRestarts  // an attempt is given up
	LeaderRestarted
	LeaderStrikes // a damaged checkpoint
	LeaderStruck
	LeaderStopped // a TaskManager was sent a Stop
	LeaderResumes // the next attempt, and what it continues from
	LeaderResumed
	LeaderDeployed // a TaskManager was sent a Deploy
	LeaderEnds     // every subtask has finished: the list of outputs
	LeaderEnded
	LeaderFinishes // all outputs are visible
	LeaderFinished
	TaskManagerTriggers // a Trigger came, and is to be passed on
	TaskManagerHolds    // an acknowledgement, and has not told it
	TaskManagerCloses   // a Closed came, acknowledgements are forgotten
	TaskManagerReported // all that it has, to a leader that is new to it
	TaskManagerStarts   // an attempt
	TaskManagerStarted  // its task process
	TaskManagerStops    // an attempt
	TaskTriggered
	TaskAligned     // the barrier of a checkpoint is here on every channel
	TaskForwarded   // the barrier was sent on, nothing is snapshotted
	TaskSnapshotted // nothing is uploaded
	TaskUploads     // a part of a state is written
	TaskUploaded    // everything, and has not acknowledged it
	TaskAcknowledged
	TaskRestores  // one piece of state is read
	TaskRestored  // all of them
	TaskFinishes  // the sinks are done, nobody knows
	TaskFinished  // its TaskManager was told
	SinkClears    // what earlier attempts left was removed
	SinkPrepares  // what it wrote, for a checkpoint
	SinkPrepared  // it is durable, and the checkpoint does not name it yet
	StorageLinks  // whoever stores something: it is written and synced, and has no name
	StorageLinked // it has its name

	end
)

var names = [end]string{
	None:                "none",
	LeaderClaimed:       "leader-claimed",
	LeaderRead:          "leader-read",
	LeaderAdopted:       "leader-adopted",
	LeaderServes:        "leader-serves",
	LeaderReserves:      "leader-reserves",
	LeaderReserved:      "leader-reserved",
	LeaderTriggered:     "leader-triggered",
	LeaderAcknowledged:  "leader-acknowledged",
	LeaderStores:        "leader-stores",
	LeaderCompletes:     "leader-completes",
	LeaderCompleted:     "leader-completed",
	LeaderClosed:        "leader-closed",
	LeaderAborts:        "leader-aborts",
	LeaderAborted:       "leader-aborted",
	LeaderRenames:       "leader-renames",
	LeaderRenamed:       "leader-renamed",
	LeaderPublished:     "leader-published",
	LeaderCollects:      "leader-collects",
	LeaderUnlists:       "leader-unlists",
	LeaderDeleted:       "leader-deleted",
	LeaderRestarts:      "leader-restarts",
	LeaderRestarted:     "leader-restarted",
	LeaderStrikes:       "leader-strikes",
	LeaderStruck:        "leader-struck",
	LeaderStopped:       "leader-stopped",
	LeaderResumes:       "leader-resumes",
	LeaderResumed:       "leader-resumed",
	LeaderDeployed:      "leader-deployed",
	LeaderEnds:          "leader-ends",
	LeaderEnded:         "leader-ended",
	LeaderFinishes:      "leader-finishes",
	LeaderFinished:      "leader-finished",
	TaskManagerTriggers: "taskmanager-triggers",
	TaskManagerHolds:    "taskmanager-holds",
	TaskManagerCloses:   "taskmanager-closes",
	TaskManagerReported: "taskmanager-reported",
	TaskManagerStarts:   "taskmanager-starts",
	TaskManagerStarted:  "taskmanager-started",
	TaskManagerStops:    "taskmanager-stops",
	TaskTriggered:       "task-triggered",
	TaskAligned:         "task-aligned",
	TaskForwarded:       "task-forwarded",
	TaskSnapshotted:     "task-snapshotted",
	TaskUploads:         "task-uploads",
	TaskUploaded:        "task-uploaded",
	TaskAcknowledged:    "task-acknowledged",
	TaskRestores:        "task-restores",
	TaskRestored:        "task-restored",
	TaskFinishes:        "task-finishes",
	TaskFinished:        "task-finished",
	SinkClears:          "sink-clears",
	SinkPrepares:        "sink-prepares",
	SinkPrepared:        "sink-prepared",
	StorageLinks:        "storage-links",
	StorageLinked:       "storage-linked",
}

// String is the point's name.
func (p Point) String() string { return names[p] }

// All lists the points.
func All() []Point {
	var all []Point
	for p := None + 1; p < end; p++ {
		all = append(all, p)
	}
	return all
}
