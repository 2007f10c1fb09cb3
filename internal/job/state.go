package job

// State is what a job or a subtask is doing, in Flink's words.
type State string

// The states of a job; subtasks use some of them, and Deploying.
const (
	Created    State = "CREATED"    // accepted and committed; planning or waiting for slots
	Deploying  State = "DEPLOYING"  // subtasks only: committed, not yet reported as running
	Running    State = "RUNNING"    //
	Failing    State = "FAILING"    // ending what runs, to fail
	Failed     State = "FAILED"     // terminal
	Cancelling State = "CANCELLING" // ending what runs, by request
	Canceled   State = "CANCELED"   // terminal
	Finished   State = "FINISHED"   // terminal; the output is visible
	Restarting State = "RESTARTING" // ending what runs, to start over under a new attempt
	Suspended  State = "SUSPENDED"  // the leader that was asked cannot reach coordination
)

// Terminal reports whether the state is final (I9).
func (s State) Terminal() bool { return s == Failed || s == Canceled || s == Finished }
