package rpc

import (
	"log/slog"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
)

// Header travels with every message of the control plane.
type Header struct {
	// Cluster is the incarnation of the cluster: a message of another one is refused (R16).
	Cluster string `json:"cluster,omitempty"`
	// Epoch is the sender's: of a leader, the one it holds; of a TaskManager, the highest
	// that it has seen. 0 where the sender has none (a standby, a task process).
	Epoch coordination.Epoch `json:"epoch,omitempty"`
}

// A Message is one of the types below. Its Kind is its name on the wire.
type Message interface{ Kind() string }

// Between JobManagers. A standby dials the leader, sends Hello and holds the connection.

// Hello opens a connection between JobManagers, or asks who is there.
type Hello struct {
	ID   string `json:"id"`   // of the sender
	REST string `json:"rest"` // address of its API
	// Since is when the sender began to stand by.
	Since time.Time `json:"since,omitzero"`
	// Clock is the time of the sender's host; zero from one that does not say it.
	Clock time.Time `json:"clock,omitzero"`
}

// Greeting answers Hello: who is there, and whether it leads (Header.Epoch). An answer
// under another id than expected says that the expected one is dead (its port was reused).
type Greeting struct {
	ID   string `json:"id"`
	Lead bool   `json:"lead"`
}

// Heartbeat is sent by a leader, to standbys and TaskManagers, every heartbeat.interval.
// They answer each with a Heartbeat of the same Seq.
type Heartbeat struct {
	Seq uint64 `json:"seq"`
	// Load is a TaskManager's, in an answer, if it was measured since the last one.
	Load *Load `json:"load,omitempty"`
	// Asks is a TaskManager's that holds a lease, in an answer: the leader's next heartbeats renew that.
	Asks *Ask `json:"asks,omitempty"`
	// Renews is the leader's, to a TaskManager that has asked, while it is sure of its epoch.
	Renews *Renewal `json:"renews,omitempty"`
}

// Ask asks a leader to renew a lease, and tells how it stands.
type Ask struct {
	Sent time.Duration `json:"sent"`           // when, by the TaskManager's clock of leases
	Left time.Duration `json:"left,omitempty"` // of the lease that it holds
	// Paused says that nothing is left of it: the subtasks stand still.
	Paused bool `json:"paused,omitempty"`
}

// Renewal answers an Ask: from its Sent on, the lease lasts For.
type Renewal struct {
	Sent time.Duration `json:"sent"`
	For  time.Duration `json:"for"`
}

// Load is how busy the host of a TaskManager is, and what its task processes take.
type Load struct {
	Average   float64 `json:"average"` // of the host: processes that ran or waited for a CPU in the last minute
	Processes int     `json:"processes"`
	Memory    int64   `json:"memory"` // resident, of all task processes, in bytes
}

// Released is sent by a leader to standbys when it ends its term by itself: it is about to resign. It explains
// what coordination will show, and is nothing to act upon.
type Released struct {
	Reason string `json:"reason"`
	Failed bool   `json:"failed,omitempty"` // it could not lead on; else it was told to hand over
}

// Succeed is sent by a leader to one standby when it is to hand leadership over: that one is to claim now. The leader leads on until it is replaced, or
// nobody has done it for a while.
type Succeed struct {
	Reason string `json:"reason"`
}

// Moved is sent by a leader to standbys when the cluster has left this coordination: nobody will lead here any more.
type Moved struct {
	Reason string `json:"reason"`
}

// Plans is sent by a leader to standbys: the names of the plans of all jobs that go on, for who is to lead next to have
// at hand. It replaces what was said before.
type Plans struct {
	Names []string `json:"names"`
}

// From a TaskManager to a JobManager. A TaskManager dials every JobManager that it knows of.

// Register opens the connection of a TaskManager.
type Register struct {
	Instance string `json:"instance"` // new at each start of a TaskManager
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	Slots    int    `json:"slots"`
	Data     string `json:"data"` // address of its data port
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Version  string `json:"version"`
	// Storage is the incarnation that the TaskManager read from its storage directory:
	// when it is not the cluster's, the two have different storage and it is refused.
	Storage string `json:"storage"`
	// Replaces are instances that used this one's work directory: it holds the lock of that, and nothing of
	// them is left.
	Replaces []Predecessor `json:"replaces,omitempty"`
	// Clock is the time of the TaskManager's host; zero from one that does not say it.
	Clock time.Time `json:"clock,omitzero"`
	// Lease is how long subtasks run without a leader's renewal, which is committed with the registration; 0: for any time.
	Lease time.Duration `json:"lease,omitempty"`
}

// Predecessor is an instance of a TaskManager that has ended.
type Predecessor struct {
	Instance string `json:"instance"`
	Left     bool   `json:"left,omitempty"` // it was told to end, and ended in order
}

// Report answers Lead: every attempt that the TaskManager runs or whose final state no leader
// has confirmed (R12). What is not in it is not proof of anything (R5). After it comes, in Acknowledge,
// what is held: the next leader completes a checkpoint if all of it is there.
type Report struct {
	Attempts []AttemptReport `json:"attempts"`
}

// AttemptReport is what a TaskManager knows of its part of one attempt of a job.
type AttemptReport struct {
	Job      job.ID          `json:"job"`
	Region   int             `json:"region,omitempty"` // as in Deploy
	Attempt  job.Attempt     `json:"attempt"`
	PID      int             `json:"pid"`
	Subtasks []SubtaskReport `json:"subtasks"`
	// Failure says how the task process ended, if it did after all of its subtasks had FINISHED
	// and before Confirm or Stop: with it went the credits that it may owe to producers in other
	// processes, which would wait for them for ever. It is held like a final state.
	Failure string `json:"failure,omitempty"`
	Killed  bool   `json:"killed,omitempty"` // Failure was the work of a signal
}

// SubtaskReport is the state of a subtask on a TaskManager.
type SubtaskReport struct {
	Subtask job.Subtask  `json:"subtask"`
	State   job.State    `json:"state"`             // DEPLOYING, RUNNING, FINISHED (and delivered), CANCELED, FAILED
	Failure string       `json:"failure,omitempty"` // of FAILED: operator, subtask, cause, stack or tail of stderr
	Outputs []job.Output `json:"outputs,omitempty"` // of FINISHED: what it wrote and did not publish
	// Settling, of RUNNING, says that the input has ended, and that the subtask waits for a checkpoint that
	// names its last transactions.
	Settling bool `json:"settling,omitempty"`
	// Committed says, after a stop, that every transaction which checkpoints up to this one name is committed.
	Committed job.CheckpointID `json:"committed,omitempty"`
	// Killed says that a signal ended the task process: the subtask itself did not fail, and may be
	// restarted.
	Killed bool `json:"killed,omitempty"`
	// Damaged is the checkpoint that the subtask could not restore, because its files are not what
	// its manifest says; 0: none.
	Damaged job.CheckpointID `json:"damaged,omitempty"`
}

// Status tells a leader of changed subtasks of one attempt, in order. FINISHED and FAILED are
// sent again to each new leader until Confirm says that they are committed.
type Status struct{ AttemptReport }

// Progress carries counters, every second; a lost one does not matter.
type Progress struct {
	Job      job.ID         `json:"job"`
	Attempt  job.Attempt    `json:"attempt"`
	Subtasks []job.Subtask  `json:"subtasks"`
	Counters []job.Counters `json:"counters"` // one for each of Subtasks
}

// Acknowledge carries what subtasks contribute to a checkpoint, from the task process to the
// leader. A TaskManager holds it until Closed names the id or a higher one (R12).
type Acknowledge struct {
	Job     job.ID                `json:"job"`
	Attempt job.Attempt           `json:"attempt"`
	Acks    []job.Acknowledgement `json:"acks"`
}

// Planned answers Plan.
type Planned struct {
	Job     job.ID     `json:"job"`
	Request job.ID     `json:"request,omitempty"` // as in Plan
	Graph   *job.Graph `json:"graph,omitempty"`
	Error   string     `json:"error,omitempty"`
	// Retry says that the failure is the TaskManager's own (no disk space, shutting down) and
	// another one may succeed; otherwise the job is at fault and fails.
	Retry bool `json:"retry,omitempty"`
}

// Stopped answers Stop: no attempt of the region up to Attempt runs here, and none ever will (R6).
type Stopped struct {
	Job     job.ID      `json:"job"`
	Region  int         `json:"region,omitempty"`
	Attempt job.Attempt `json:"attempt"`
}

// Farewell is sent by a TaskManager that ends politely: it runs nothing any more.
type Farewell struct {
	// Killed are, in words, task processes that it killed as they did not end when they were asked to: some, if many.
	Killed []string `json:"killed,omitempty"`
}

// From a JobManager to a TaskManager.

// Welcome answers Register; every JobManager sends it, leading or not, and again when it knows of others.
type Welcome struct {
	ID string `json:"id"`
	// JobManagers are those that the sender knows of, itself included: the TaskManager dials them too.
	JobManagers []Whereabouts `json:"jobmanagers,omitempty"`
}

// Whereabouts is where a JobManager is.
type Whereabouts struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// Refused answers Register when the TaskManager cannot take part; the connection is closed.
type Refused struct {
	Reason string `json:"reason"`
	// Dead says that this instance was declared dead in a committed write: it ends
	// every task and registers as a new instance.
	Dead bool `json:"dead"`
}

// Lead tells a TaskManager that the sender leads under Header.Epoch, and that its registration
// is committed. The TaskManager answers with Report.
type Lead struct {
	// Lease is what is committed of Register's; 0 also from a leader that knows no leases.
	Lease time.Duration `json:"lease,omitempty"`
}

// Plan asks for the plan of a job, by running its binary in plan mode, with the Spec as JSON
// in the environment variable PERENNIAL_SPEC.
type Plan struct {
	Spec job.Spec `json:"spec"`
	// Request is that for the change of a running job to which Spec belongs; "": the job is new.
	Request job.ID `json:"request,omitempty"`
}

// Deploy starts this TaskManager's part of a committed attempt in a task process, and is idempotent: a TaskManager that has
// the attempt answers with its Status and changes nothing, one that has (or had, or promised
// never to have) a higher one refuses it with that one's Stopped.
type Deploy struct {
	Instance  string   `json:"instance"` // of the TaskManager that is meant
	Spec      job.Spec `json:"spec"`
	GraphHash string   `json:"graphHash"` // the task process must build the same graph
	// Region is the lowest of those that the part has to do with, of the plan's (job.Graph.Regions). With the job and the
	// attempt it names the part, in all that is said of it. At most one attempt of a region runs on a TaskManager.
	Region  int         `json:"region,omitempty"`
	Attempt job.Attempt `json:"attempt"`
	Slots   []int       `json:"slots"` // slot i runs subtask i of vertices
	// Subtasks is what runs in those slots: the TaskManager does not know
	// the graph, and names them in its Status when the task process cannot.
	Subtasks []job.Subtask     `json:"subtasks"`
	Peers    map[string]string `json:"peers"` // slot number -> data address of the TaskManager that has it
	// Restore is the checkpoint that the attempt continues from; nil: it begins at the beginning.
	Restore *job.Pointer `json:"restore,omitempty"`
}

// Stop ends every attempt of a region up to Attempt.
type Stop struct {
	Instance string      `json:"instance"`
	Job      job.ID      `json:"job"`
	Region   int         `json:"region,omitempty"`
	Attempt  job.Attempt `json:"attempt"`
}

// Retire tells a TaskManager that is drained to end: no job has anything there any more.
type Retire struct {
	Instance string `json:"instance"`
}

// Confirm says that the outcome of an attempt is committed: the TaskManager ends its task
// process and may forget it, its held states included, and remove its files but never a job.Output.
type Confirm struct {
	Job     job.ID      `json:"job"`
	Region  int         `json:"region,omitempty"`
	Attempt job.Attempt `json:"attempt"`
}

// Trigger begins a checkpoint whose id is reserved (R3). An attempt takes an id at most once.
type Trigger struct {
	Instance   string           `json:"instance"`
	Job        job.ID           `json:"job"`
	Region     int              `json:"region,omitempty"`
	Attempt    job.Attempt      `json:"attempt"`
	Checkpoint job.CheckpointID `json:"checkpoint"`
	// Base is the newest checkpoint that was completed when this one was reserved: what it may refer to beside its
	// own files (R13). 0: none was.
	Base job.CheckpointID `json:"base,omitempty"`
	// Stop has sources emit nothing after the barrier, until Closed says Resume or a trigger without it comes.
	Stop bool `json:"stop,omitempty"`
}

// Drain has sources end as if their input had. Once is enough; it may come again.
type Drain struct {
	Instance string      `json:"instance"`
	Job      job.ID      `json:"job"`
	Region   int         `json:"region,omitempty"`
	Attempt  job.Attempt `json:"attempt"`
}

// Closed says that a checkpoint, and every lower one, is completed or aborted by a committed write.
type Closed struct {
	Instance   string           `json:"instance"`
	Job        job.ID           `json:"job"`
	Region     int              `json:"region,omitempty"`
	Attempt    job.Attempt      `json:"attempt"`
	Checkpoint job.CheckpointID `json:"checkpoint"`
	// Completed is the newest completed checkpoint of the job, 0 if there is none: what it names may be committed.
	Completed job.CheckpointID `json:"completed,omitempty"`
	// Published says that the outputs which it named are visible: they need not be named again.
	Published bool `json:"published,omitempty"`
	// Resume says that it was to stop the sources, and that they go on instead.
	Resume bool `json:"resume,omitempty"`
}

// Inspect asks for a piece of what a process shows of itself, which nothing else depends on. A TaskManager passes it on to the
// task process of Job that has this PID, and answers by itself if PID is 0.
type Inspect struct {
	Query    uint64 `json:"query"` // of the asker; the answer has the same
	Instance string `json:"instance"`
	PID      int    `json:"pid,omitempty"`
	Job      job.ID `json:"job,omitempty"` // with PID 0: the files of this job are listed
	inspect.Question
}

// Inspected answers Inspect. It may be lost.
type Inspected struct {
	Query uint64         `json:"query"`
	Piece inspect.Piece  `json:"piece"`
	Files []inspect.File `json:"files,omitempty"`
	Error string         `json:"error,omitempty"`
}

// Between a TaskManager and its task process, over an inherited socket pair.

// Start is the first message to a task process.
type Start struct {
	Deploy Deploy `json:"deploy"`
	Local  string `json:"local"` // the data address of this TaskManager, as it appears in Peers
	// Storage is where checkpoints are, as storage.Open takes it.
	Storage string `json:"storage"`
	// Scratch is a directory for what is of no use after the task process.
	Scratch string `json:"scratch,omitempty"`
	// Copies is a directory for copies of the job's states, which its next task process here may use instead of
	// what is in storage; "" where that is as near.
	Copies string `json:"copies,omitempty"`
	// Log is how the process logs; nil: as Go does by itself.
	Log *Log `json:"log,omitempty"`
	// Lease is what the TaskManager holds now; nil: subtasks run without one, for any time.
	Lease *Lease `json:"lease,omitempty"`
}

// Lease hands a lease on to a task process: its subtasks run until then, by the clock that both read (internal/boottime), or until
// a later Lease.
type Lease struct {
	Until time.Duration `json:"until"`
}

// Log is how a process logs.
type Log struct {
	Level  slog.Level `json:"level"`  // the least that is logged
	Format string     `json:"format"` // text or json
}

// Ready answers Start once the graph is built and its hash matches.
type Ready struct {
	GraphHash string `json:"graphHash"`
	Protocol  int    `json:"protocol"` // that the process speaks
	// Leases says that the process heeds one: those of older releases do not.
	Leases bool `json:"leases,omitempty"`
}

// Cancel asks the task process to end its subtasks in order and exit. Nothing but this and the
// end of the connection ends one: it outlives its subtasks.
type Cancel struct{}

// Kind names the message on the wire.
func (Hello) Kind() string       { return "hello" }
func (Greeting) Kind() string    { return "greeting" }
func (Heartbeat) Kind() string   { return "heartbeat" }
func (Moved) Kind() string       { return "moved" }
func (Plans) Kind() string       { return "plans" }
func (Released) Kind() string    { return "released" }
func (Succeed) Kind() string     { return "succeed" }
func (Register) Kind() string    { return "register" }
func (Report) Kind() string      { return "report" }
func (Status) Kind() string      { return "status" }
func (Progress) Kind() string    { return "progress" }
func (Planned) Kind() string     { return "planned" }
func (Stopped) Kind() string     { return "stopped" }
func (Farewell) Kind() string    { return "farewell" }
func (Welcome) Kind() string     { return "welcome" }
func (Refused) Kind() string     { return "refused" }
func (Lead) Kind() string        { return "lead" }
func (Plan) Kind() string        { return "plan" }
func (Deploy) Kind() string      { return "deploy" }
func (Stop) Kind() string        { return "stop" }
func (Confirm) Kind() string     { return "confirm" }
func (Retire) Kind() string      { return "retire" }
func (Start) Kind() string       { return "start" }
func (Ready) Kind() string       { return "ready" }
func (Cancel) Kind() string      { return "cancel" }
func (Lease) Kind() string       { return "lease" }
func (Trigger) Kind() string     { return "trigger" }
func (Closed) Kind() string      { return "closed" }
func (Drain) Kind() string       { return "drain" }
func (Acknowledge) Kind() string { return "acknowledge" }
func (Inspect) Kind() string     { return "inspect" }
func (Inspected) Kind() string   { return "inspected" }
