package job

import "time"

// CheckpointID counts the checkpoints of a job: 1, 2, … An id is reserved by a committed write,
// and never reserved twice (R3).
type CheckpointID uint64

// StateKind says what the entries of a state are, and how another parallelism shares them out.
type StateKind string

// The kinds of state.
const (
	SplitsState    StateKind = "splits"    // of a source: any reader may take any of them
	PositionState  StateKind = "position"  // of a source that cannot share it out: subtask i continues what subtask i wrote
	ValueState     StateKind = "value"     // by key: one value
	ListState      StateKind = "list"      // by key: values in order
	MapState       StateKind = "map"       // by key: values by a second key
	TimersState    StateKind = "timers"    // by key: times
	BroadcastState StateKind = "broadcast" // the same in every subtask
	WatermarkState StateKind = "watermark" // how far event time had come, in each subtask
	StoreState     StateKind = "store"     // a part of what a store has of all keyed states of an operator, in its own form

	// CommittablesState is that of a sink: prepared transactions, which any subtask may commit.
	CommittablesState StateKind = "committables"
)

// Keyed reports whether the entries belong to keys, and so to key groups.
func (k StateKind) Keyed() bool {
	return k == ValueState || k == ListState || k == MapState || k == TimersState
}

// StateType is what an operator says of a state that it keeps: how a savepoint is compared with a
// job that is to continue from it.
type StateType struct {
	Name   string    `json:"name"`
	Kind   StateKind `json:"kind"`
	Schema string    `json:"schema"` // of its entries, as record.Codec.Schema tells it
}

// StateHandle is where a piece of one state of an operator is, as one subtask wrote it.
type StateHandle struct {
	Operator string    `json:"operator"`
	State    string    `json:"state"` // its name; with the operator's it is how the state is found
	Kind     StateKind `json:"kind"`
	Schema   string    `json:"schema,omitempty"` // as in StateType
	// Part tells the pieces of a state apart that a store writes as several, by the store's own
	// name for each; "": it is all in one.
	Part string `json:"part,omitempty"`
	// File names the piece in storage, as storage.PutState returned it; "": it is Data.
	File string `json:"file,omitempty"`
	Data []byte `json:"data,omitempty"`
	Size int64  `json:"size"` // bytes
	CRC  uint32 `json:"crc"`  // CRC-32C of them
}

// OperatorOutput is an output and the sink that wrote it.
type OperatorOutput struct {
	Operator string `json:"operator"`
	Output
}

// Acknowledgement is what one subtask contributes to a checkpoint: all of its state when the
// barrier passed, durable.
type Acknowledgement struct {
	Checkpoint CheckpointID     `json:"checkpoint"`
	Subtask    Subtask          `json:"subtask"`
	States     []StateHandle    `json:"states,omitempty"`
	Outputs    []OperatorOutput `json:"outputs,omitempty"` // written and not published: hidden files
	// Finished says that the subtask had reached the end of its input: restored, it has nothing
	// to do.
	Finished bool `json:"finished,omitempty"`
	// Failure is why the subtask can contribute nothing; the checkpoint is then aborted.
	Failure string `json:"failure,omitempty"`
	// Paused is how long the record path stood still for the snapshot, in nanoseconds.
	Paused int64 `json:"paused,omitempty"`
}

// Pointer names a completed checkpoint. The newest of a job is what a restart continues from (I8).
type Pointer struct {
	Checkpoint CheckpointID `json:"checkpoint"`
	Attempt    Attempt      `json:"attempt"`  // whose acknowledgements completed it
	Manifest   string       `json:"manifest"` // its name in storage
	Size       int64        `json:"size"`     // bytes of state
	Triggered  time.Time    `json:"triggered"`
	Completed  time.Time    `json:"completed"`
	// Paused is the longest that the record path of a subtask stood still for it, in nanoseconds.
	Paused int64 `json:"paused,omitempty"`
	// Savepoint is the directory of the savepoint that this is instead, a path or a URL.
	Savepoint string `json:"savepoint,omitempty"`
}
