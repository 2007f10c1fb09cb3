// Package api is the HTTP API's vocabulary: paths, requests and answers, as JSON. The
// server in internal/rest and the public package client share it. It is a leaf.
package api

import (
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
)

// Paths of the API. {id} is a job id, {sha256} the hash of a job binary in hex.
//
//	GET  /v1/self                   who am I, who leads (any JobManager)          -> Self
//	GET  /healthz                   the same; /readyz: 200 once it answers or knows who does, else 503
//	GET  /metrics                   for Prometheus (any JobManager; docs/metrics.md)
//	GET  /v1/cluster                slots, TaskManagers' OS and CPU               -> Cluster
//	GET  /v1/jobmanagers            the leader and the standbys                   -> []JobManager
//	GET  /v1/failovers              the newest changes of leader, latest first    -> []Takeover
//	GET  /v1/taskmanagers           those that live, or are taken to live         -> []TaskManager
//	POST /v1/taskmanagers/{id}/drain  Drain; jobs leave it, and then it ends; 202
//	POST /v1/step-down              StepDown; its epoch makes a retry harmless    -> 202
//	GET  /v1/quorum                 members of the embedded quorum                -> Quorum
//	POST /v1/quorum/members         QuorumAddition with Member; harmless again    -> QuorumAddition, 201
//	DELETE /v1/quorum/members/{member}  by its REST address                       -> 204
//	POST /v1/metadata/export        ExportRequest                                 -> Export
//	HEAD /v1/artifacts/{sha256}     200 if stored, 404 if not
//	PUT  /v1/artifacts/{sha256}     the binary; 204; 400 when the hash is another
//	POST /v1/jobs                   job.Spec; its ID makes a retry harmless       -> Job, 201
//	GET  /v1/jobs                                                                 -> []Summary
//	GET  /v1/jobs/{id}                                                            -> Job
//	POST /v1/jobs/{id}/cancel                                                     -> Job, 202
//	POST /v1/jobs/{id}/requests     job.Request; its ID makes a retry harmless    -> Job, 202
//	POST /v1/self/inspect           inspect.Question about this process (any JobManager)   -> inspect.Piece
//	POST /v1/taskmanagers/{part}/inspect   Inspect; part: of its id, or its host          -> Inspected
//	POST /v1/probe                  inspect.Probe of every TaskManager; the token that each writes ends with its id -> []Probed
//	GET  /v1/jobs/{id}/files        what its task processes have written          -> JobFiles
//
// All but /v1/self, /v1/self/inspect, /healthz, /readyz and /metrics are answered by the leader only. Another JobManager passes the request on to it, and
// names it in LeaderHeader. To a client that says FollowHeader it answers 421 instead, with an Error that names the leader.
// When it knows of none it answers 503; a client then asks again.
// Every failure is an Error.

// Headers of the API.
const (
	// FollowHeader, of a request, says that the client goes to the leader by itself.
	FollowHeader = "Perennial-Follow"
	// LeaderHeader, of an answer, is the REST address of the leader that gave it, in place of the one that was asked.
	LeaderHeader = "Perennial-Leader"
)

// Error is the body of every answer that is no success.
type Error struct {
	Code    string `json:"code"`             // one of the constants below
	Message string `json:"message"`          // for a person: what was wrong, with what value, what to do
	Leader  string `json:"leader,omitempty"` // REST address of the leader, with NotLeader
}

func (e *Error) Error() string { return e.Message }

// Codes of Error.
const (
	NotLeader   = "not-leader"  // 421: ask Leader
	NoLeader    = "no-leader"   // 503: nobody leads at the moment; ask again
	Unavailable = "unavailable" // 503: coordination or storage is away; ask again
	NotFound    = "not-found"   // 404
	BadRequest  = "bad-request" // 400
	Conflict    = "conflict"    // 409: the id was used for another request, or it cannot be done as things are
)

// Inspect asks a TaskManager, or a task process of a job on it, for a piece of what it shows.
type Inspect struct {
	Job job.ID `json:"job,omitempty"` // of the task process
	PID int    `json:"pid,omitempty"` // of the task process; 0: the TaskManager itself
	inspect.Question
}

// Inspected is the piece, and whose it is.
type Inspected struct {
	TaskManager string `json:"taskmanager"`
	Host        string `json:"host"`
	inspect.Piece
}

// Probed is what a TaskManager has found of its surroundings.
type Probed struct {
	TaskManager string `json:"taskmanager"`
	Host        string `json:"host"`
	Data        string `json:"data"` // address of its data port, as it tells others
	Version     string `json:"version"`
	// Probed is what it has found; nil with an Error.
	Probed *inspect.Probed `json:"probed,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// JobFiles is what a job's task processes have written, as far as it is known now.
type JobFiles struct {
	Files []JobFile `json:"files"`
	// Missing are TaskManagers that may have more of it.
	Missing []Missing `json:"missing,omitempty"`
}

// Missing is a TaskManager that did not answer, and why.
type Missing struct {
	TaskManager string `json:"taskmanager"`
	Error       string `json:"error"`
}

// JobFile is what a task process has written to its standard output or error, on the host of a TaskManager.
type JobFile struct {
	TaskManager string `json:"taskmanager"`
	Host        string `json:"host"`
	inspect.File
}

// Self is who a JobManager is. It answers with or without a leader.
type Self struct {
	ID      string `json:"id"`
	Cluster string `json:"cluster"` // incarnation, "" until known
	RPC     string `json:"rpc"`     // address for TaskManagers and other JobManagers
	REST    string `json:"rest"`
	Role    string `json:"role"` // leader or standby
	// Leader is the REST address of the leader that this JobManager knows of, or "".
	Leader string `json:"leader,omitempty"`
	// LeaderRPC is the leader's RPC address.
	LeaderRPC string             `json:"leaderRpc,omitempty"`
	Epoch     coordination.Epoch `json:"epoch"` // in force as far as this JobManager knows
	Version   string             `json:"version"`
	// TaskManagers are connected to this JobManager, whether it leads or not: a standby has them at once when it does.
	TaskManagers int `json:"taskmanagers"`
	// Takeover is how this JobManager last became the leader; nil: it has not led.
	Takeover *Takeover `json:"takeover,omitempty"`
}

// Takeover tells of a change of leader, as the new leader saw it. Milliseconds are by its monotonic clock, from the moment
// at which it gave the leader before up.
type Takeover struct {
	Epoch    coordination.Epoch `json:"epoch"`
	At       time.Time          `json:"at"`                 // when it was complete
	Since    time.Time          `json:"since"`              // when the one before was given up
	Leader   string             `json:"leader"`             // id of the one that took over
	REST     string             `json:"rest"`               // its address
	Previous string             `json:"previous,omitempty"` // id of the leader before
	Cause    Cause              `json:"cause"`              // what kind of end that one came to
	Reason   string             `json:"reason"`             // the same in words

	ClaimMillis   float64 `json:"claimMillis"`   // to the claim's reply: the epoch is committed
	ReadMillis    float64 `json:"readMillis"`    // to what is committed read
	AskedMillis   float64 `json:"askedMillis"`   // to the connected TaskManagers asked what they run
	AdoptedMillis float64 `json:"adoptedMillis"` // to the last of their answers, or the end of patience with it
	ServingMillis float64 `json:"servingMillis"` // to the API answering

	Jobs       int `json:"jobs"`       // that had not ended
	Subtasks   int `json:"subtasks"`   // of these, found running, or finished, where they were committed to
	Redeployed int `json:"redeployed"` // found missing, and deployed again under the same attempt
	Unheard    int `json:"unheard"`    // jobs of which not every TaskManager was heard in time
}

// Millis is how long it took in all.
func (t *Takeover) Millis() float64 { return max(t.AdoptedMillis, t.ServingMillis) }

// Cause is what made a JobManager take over.
type Cause string

// The causes.
const (
	CauseFirst      Cause = "first"      // nobody had led before
	CauseConnection Cause = "connection" // the leader's connection broke, and its port refused another, or answered as somebody else
	CauseHeartbeat  Cause = "heartbeat"  // nothing was heard of the leader for the heartbeat timeout
	CauseSession    Cause = "session"    // the leader's session with coordination ended
	CauseStepDown   Cause = "step-down"  // the leader handed over, as it was told to
	CauseFailure    Cause = "failure"    // the leader gave up by itself: something failed that it could not lead on without
	CauseUnknown    Cause = "unknown"
)

// JobManager is a row of the list of JobManagers. As JSON it is also what a JobManager publishes of
// itself in coordination, as coordination.Candidate.Data and coordination.Member.Data: TaskManagers
// and clients find Address and REST there.
type JobManager struct {
	ID      string             `json:"id"`
	Address string             `json:"address"` // RPC
	REST    string             `json:"rest"`
	Role    string             `json:"role,omitempty"`  // leader or standby
	Epoch   coordination.Epoch `json:"epoch,omitempty"` // the leader's; of a standby, the one it follows
	Since   time.Time          `json:"since"`           // in this role
	PID     int                `json:"pid"`
	Host    string             `json:"host"`
	Version string             `json:"version"`
	// Takeover is how the leader became it; nil: it is about to adopt what runs, or this is a standby.
	Takeover *Takeover `json:"takeover,omitempty"`
}

// TaskManager is a row of the list of TaskManagers.
type TaskManager struct {
	ID      string `json:"id"` // of the instance: new at each start
	Host    string `json:"host"`
	Address string `json:"address"` // of its data port
	PID     int    `json:"pid,omitempty"`
	Version string `json:"version,omitempty"`
	// Connected says whether it is in reach of the leader, and Since since when it is or is not, or since when that leader
	// leads. Dead is when one that is not will be declared dead.
	Connected bool       `json:"connected"`
	Since     time.Time  `json:"since"`
	Dead      *time.Time `json:"dead,omitempty"`
	Slots     int        `json:"slots"`
	SlotsFree int        `json:"slotsFree"` // that a job could have now
	Draining  bool       `json:"draining,omitempty"`
	// Lease is how its subtasks depend on a leader; absent if they run without one for any time (taskmanager.isolated: run).
	Lease *Lease   `json:"lease,omitempty"`
	Jobs  []job.ID `json:"jobs"` // that have slots there
	// Load is a few seconds old; absent where it is not measured: the host runs no Linux, or the TaskManager is not connected.
	Load *Load `json:"load,omitempty"`
}

// Lease is how long the subtasks of a TaskManager run without being renewed by the leader.
type Lease struct {
	Seconds float64 `json:"seconds"` // its length
	// Left is what the TaskManager said last that is left of it, in seconds; absent if it is not connected, or has not said it yet.
	Left *float64 `json:"left,omitempty"`
	// Paused says that nothing is: its subtasks stand still.
	Paused bool `json:"paused,omitempty"`
}

// Load is how busy the host of a TaskManager is, and what its task processes take.
type Load struct {
	Average   float64 `json:"average"` // processes that ran or waited for a CPU, in the last minute
	Processes int     `json:"processes"`
	Memory    int64   `json:"memory"` // resident, of all task processes, in bytes
}

// Drain is how a TaskManager is drained.
type Drain struct {
	// Force stops what is there at once, and lets it wait for slots elsewhere.
	Force bool `json:"force,omitempty"`
}

// StepDown asks the leader of an epoch to hand leadership over. If that epoch is over it has happened, and nothing is done.
type StepDown struct {
	Epoch coordination.Epoch `json:"epoch"`
}

// Quorum is the quorum that JobManagers form with high-availability: embedded.
type Quorum struct {
	Members []QuorumMember `json:"members"`
}

// QuorumMember is a member, as that of the leading JobManager sees it.
type QuorumMember struct {
	Name    string `json:"name"`    // its JobManager's REST address
	Raft    string `json:"raft"`    // where the other members reach it
	ID      string `json:"id"`      // of its votes: another after it was removed and added again
	Learner bool   `json:"learner"` // it has joined, or is about to, and has no vote yet
	Leader  bool   `json:"leader"`  // of Raft, which is no matter of who leads the JobManagers
	Healthy bool   `json:"healthy"`
	Trouble string `json:"trouble,omitempty"` // why it is not healthy
	Behind  uint64 `json:"behind"`            // entries of Raft's log that it has still to apply
}

// QuorumAddition is a member that may join, and what it must be started with beside an empty directory.
type QuorumAddition struct {
	Member      string   `json:"member"`                // its REST address
	JobManagers []string `json:"jobmanagers,omitempty"` // that it must know: conf/masters
	ClusterID   string   `json:"clusterId,omitempty"`
}

// ExportRequest asks for all that coordination holds. After a final one nobody leads there any more.
type ExportRequest struct {
	Final bool `json:"final"`
}

// Export is a file of package internal/metadata.
type Export struct {
	File     []byte `json:"file"`
	Location string `json:"location,omitempty"` // of a final one, in storage as well
}

// Summary is a row of the list of jobs.
type Summary struct {
	ID          job.ID     `json:"id"`
	Name        string     `json:"name"`
	State       job.State  `json:"state"`
	Submitted   time.Time  `json:"submitted"`
	Finished    *time.Time `json:"finished"` // null while it is not
	Parallelism int        `json:"parallelism"`
}

// Job is all about one job.
type Job struct {
	Summary
	// Attempt is the newest attempt: each time that all or a part of the job is started it rises, above that of the
	// savepoint, if the job continues from one. Subtasks, checkpoints and files carry it. 0: there was none yet.
	Attempt      job.Attempt `json:"attempt"`
	Restarts     int         `json:"restarts"` // how often all or a part of the job failed and was started again
	Failure      string      `json:"failure,omitempty"`
	SlotsNeeded  int         `json:"slotsNeeded"`
	SlotsMissing int         `json:"slotsMissing"` // while it waits for slots
	// LeaseWait is why all or a part of the job is not started again yet: what ran on a TaskManager that was lost may still run there.
	LeaseWait *LeaseWait `json:"leaseWait,omitempty"`
	// StorageWait is what the leader cannot do for the job as storage is full or away, and why; it is tried again. What runs runs on.
	StorageWait string   `json:"storageWait,omitempty"`
	Vertices    []Vertex `json:"vertices"`
	// Checkpoints tells of the job's checkpoints.
	Checkpoints Checkpoints `json:"checkpoints"`
	// Requests are what was asked of the job, the oldest first: those under way, and the newest outcomes.
	Requests []Request `json:"requests,omitempty"`
	// Forgotten is the highest id of a request whose outcome is not remembered any more.
	Forgotten job.ID `json:"forgotten,omitempty"`
}

// LeaseWait is the wait for the lease of a TaskManager that was declared dead, and whose subtasks stand still once that is over
// (taskmanager.isolated: pause).
type LeaseWait struct {
	TaskManager string `json:"taskmanager"`
	// Until is when the wait is over, by the leader's clock. It is over sooner if a TaskManager is started on the same host and directory.
	Until time.Time `json:"until"`
}

// Request is what was asked of a job, and what became of it.
type Request struct {
	job.Request
	State      string           `json:"state"` // ASKED, RESERVED, COPYING, STOPPING, STARTING; DONE or FAILED at the end
	Asked      time.Time        `json:"asked"`
	Ended      *time.Time       `json:"ended,omitempty"`
	Failure    string           `json:"failure,omitempty"`
	Checkpoint job.CheckpointID `json:"checkpoint,omitempty"` // that was taken for it
	Savepoint  string           `json:"savepoint,omitempty"`  // where it is
	Size       int64            `json:"size,omitempty"`       // bytes of state in it
	Notes      []string         `json:"notes,omitempty"`      // what became of state
	// DowntimeMillis is for how long a change kept the job from running, by the clocks of the leaders.
	DowntimeMillis float64 `json:"downtimeMillis,omitempty"`
}

// Open reports whether something is still to come of the request.
func (r Request) Open() bool { return r.Ended == nil }

// Checkpoints is what a job could continue from.
type Checkpoints struct {
	// Completions is how many were ever completed, those that are not retained any more included.
	Completions int `json:"completions"`

	Completed  []Checkpoint     `json:"completed"` // the retained ones, the newest first
	InProgress job.CheckpointID `json:"inProgress,omitempty"`
	Since      *time.Time       `json:"since,omitempty"`     // when that one began
	Aborted    int              `json:"aborted"`             // how many were given up
	LastAbort  string           `json:"lastAbort,omitempty"` // which was the last, and why
	Restored   job.CheckpointID `json:"restored,omitempty"`  // what the present attempt continued from
	// Damaged tells which checkpoint last could not be restored, so that an older one was, and why.
	Damaged string `json:"damaged,omitempty"`
	// Savepoint is where that is, if it is a savepoint.
	Savepoint string `json:"savepoint,omitempty"`
	// Notes tell what the job did not find in the savepoint that it began with, so that it begins empty, and what is dropped.
	Notes []string `json:"notes,omitempty"`
	// Failures is how many were given up since one was completed.
	Failures int `json:"failures,omitempty"`
}

// Checkpoint is a completed checkpoint.
type Checkpoint struct {
	ID        job.CheckpointID `json:"id"`
	Attempt   job.Attempt      `json:"attempt"`
	Completed time.Time        `json:"completed"`
	Millis    float64          `json:"millis"` // from its reservation to its completion
	// PausedMillis is the longest that the record path of a subtask stood still for it.
	PausedMillis float64 `json:"pausedMillis"`
	Size         int64   `json:"size"`     // bytes of state
	Location     string  `json:"location"` // of its manifest, below storage.dir
}

// Vertex is a chain of fused operators of a job.
type Vertex struct {
	Name        string    `json:"name"`
	Parallelism int       `json:"parallelism"`
	RecordsIn   uint64    `json:"recordsIn"`
	RecordsOut  uint64    `json:"recordsOut"`
	Busy        float64   `json:"busy"`    // share of the last second, mean over its subtasks
	Blocked     float64   `json:"blocked"` // share of the last second: back-pressured
	Subtasks    []Subtask `json:"subtasks"`
	// BusySeconds, BlockedSeconds and IdleSeconds are the time of its subtasks together, since the attempt
	// began: working, back-pressured, and without input.
	BusySeconds    float64 `json:"busySeconds"`
	BlockedSeconds float64 `json:"blockedSeconds"`
	IdleSeconds    float64 `json:"idleSeconds"`
	// Operators are those that are fused in it, in the order of the plan.
	Operators []Operator `json:"operators"`
}

// Operator is what one operator has done in all of its subtasks since the attempt began.
type Operator struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`       // source, map, sink …
	RecordsIn  uint64 `json:"recordsIn"`  // 0 of a source
	RecordsOut uint64 `json:"recordsOut"` // 0 of a sink
	// Skipped are the records that made its function fail and were given up: dropped, or sent to its
	// dead letters.
	Skipped uint64 `json:"skipped"`
	// Metrics are what its user function has counted and measured; a gauge is the sum of its subtasks.
	Metrics []job.Metric `json:"metrics,omitempty"`
}

// Subtask is one parallel instance of a vertex.
type Subtask struct {
	Index       int         `json:"index"`
	Attempt     job.Attempt `json:"attempt"`
	State       job.State   `json:"state"`
	TaskManager string      `json:"taskmanager"`
	PID         int         `json:"pid"` // of its task process
}

// Cluster is what a client needs to know before it builds and submits.
type Cluster struct {
	OS           string `json:"os"`   // of the TaskManagers, as in GOOS; "" while there is none
	Arch         string `json:"arch"` // GOARCH
	TaskManagers int    `json:"taskmanagers"`
	Slots        int    `json:"slots"`
	SlotsFree    int    `json:"slotsFree"`
}
