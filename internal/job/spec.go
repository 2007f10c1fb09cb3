package job

import "time"

// Spec is what a client submits: which binary to run and how. It is immutable; a change of a running
// job makes another one under the same id.
type Spec struct {
	ID          ID       `json:"id"`
	Name        string   `json:"name"`           // what the client calls it; the graph's name once planned
	Artifact    string   `json:"artifact"`       // SHA-256 of the job binary, hex
	Args        []string `json:"args,omitempty"` // the job's own arguments
	Dir         string   `json:"dir,omitempty"`  // the client's working directory: relative paths in Args start here
	Parallelism int      `json:"parallelism"`    // 0: what the job says, or 1
	// Savepoint is what the job continues from, an absolute path or a URL; "": it begins at the beginning.
	Savepoint string `json:"savepoint,omitempty"`
	// AllowDropped says that state of the savepoint which no operator takes may be dropped.
	AllowDropped bool `json:"allowDropped,omitempty"`
	// Continues says that outputs may be there already which the job goes on from.
	Continues bool `json:"continues,omitempty"`
}

// Times are when a job came and went, by the clock of the JobManager that led then.
type Times struct {
	Submitted time.Time  `json:"submitted"`
	Finished  *time.Time `json:"finished,omitempty"` // when its state became terminal; nil before
}

// Output is a file that a finished subtask has written and that becomes visible,
// by a rename from Temp to Final, only once the job's end is committed (R12, I5).
// Both are absolute paths in one directory.
type Output struct {
	Temp  string `json:"temp"`
	Final string `json:"final"`
}

// Counters are a subtask's running totals since its attempt began.
type Counters struct {
	In           uint64 `json:"in"`           // records received
	Out          uint64 `json:"out"`          // records emitted
	BusyNanos    uint64 `json:"busyNanos"`    // working
	BlockedNanos uint64 `json:"blockedNanos"` // waiting for a consumer: back-pressured
	IdleNanos    uint64 `json:"idleNanos"`    // waiting for input
	// Operators tells more of each operator in the subtask, by name.
	Operators map[string]OperatorCounters `json:"operators,omitempty"`
}

// OperatorCounters are the running totals of one operator in one subtask.
type OperatorCounters struct {
	In  uint64 `json:"in,omitempty"`  // records taken; 0 of a source
	Out uint64 `json:"out,omitempty"` // records emitted, however many operators take them; 0 of a sink
	// Skipped are the records that made the user function fail and were given up: dropped, or sent to the
	// operator's dead letters.
	Skipped uint64 `json:"skipped,omitempty"`
	// Metrics are those of its user function. Of the subtasks of a vertex in one process, the first has them all.
	Metrics []Metric `json:"metrics,omitempty"`
}
