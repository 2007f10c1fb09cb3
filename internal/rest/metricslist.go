package rest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager"
)

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// ownFamilies are of the JobManager that is asked, and of the cluster that it leads. docs/metrics.md lists
// them as they are here.
var ownFamilies = []family[*jobmanager.Figures]{
	{"perennial_build_info", gauge, "Always 1; the label says which version runs.", []string{"version"},
		func(f *jobmanager.Figures, emit func(float64, ...string)) { emit(1, f.Self.Version) }},
	{"perennial_jobmanager_is_leader", gauge, "1 if this JobManager leads, 0 if it stands by.", nil,
		func(f *jobmanager.Figures, emit func(float64, ...string)) { emit(number(f.Led != nil)) }},
	{"perennial_jobmanager_epoch", gauge, "The epoch in force, as far as this JobManager knows.", nil,
		func(f *jobmanager.Figures, emit func(float64, ...string)) { emit(float64(f.Self.Epoch)) }},
	{"perennial_jobmanager_takeovers_total", counter, "How often this process has become the leader.", nil,
		func(f *jobmanager.Figures, emit func(float64, ...string)) { emit(float64(f.Takeovers)) }},
	{"perennial_jobmanager_takeover_seconds", gauge,
		"How long the latest takeover of this process took, from the suspicion to every running task adopted and the API answering; absent if it has not led.", nil,
		func(f *jobmanager.Figures, emit func(float64, ...string)) {
			if t := f.Self.Takeover; t != nil {
				emit(t.Millis() / 1000)
			}
		}},
	{"perennial_jobmanager_takeover_phase_seconds", gauge,
		"The same, to each of its moments: claimed, read, asked, adopted, serving (the API answers); absent if it has not led.", []string{"phase"},
		func(f *jobmanager.Figures, emit func(float64, ...string)) {
			if t := f.Self.Takeover; t != nil {
				emit(t.ClaimMillis/1000, "claimed")
				emit(t.ReadMillis/1000, "read")
				emit(t.AskedMillis/1000, "asked")
				emit(t.AdoptedMillis/1000, "adopted")
				emit(t.ServingMillis/1000, "serving")
			}
		}},
	{"perennial_jobmanager_storage_failures_total", counter, "Operations of this process on jobs that storage refused; most are tried again.", nil,
		func(f *jobmanager.Figures, emit func(float64, ...string)) { emit(float64(f.StorageFailures)) }},
	{"perennial_taskmanagers", gauge, "TaskManagers that are connected to the leader.", nil, ofCluster(func(c *api.Cluster) int { return c.TaskManagers })},
	{"perennial_slots", gauge, "Slots of the connected TaskManagers.", nil, ofCluster(func(c *api.Cluster) int { return c.Slots })},
	{"perennial_slots_free", gauge, "Slots that no job has.", nil, ofCluster(func(c *api.Cluster) int { return c.SlotsFree })},
	{"perennial_jobs", gauge, "Jobs by state, those that ended long ago included.", []string{"state"},
		func(f *jobmanager.Figures, emit func(float64, ...string)) {
			for _, s := range jobStates {
				if f.Led != nil {
					emit(float64(f.Led.States[s]), string(s))
				}
			}
		}},
}

// jobStates are those that a job may have.
var jobStates = []job.State{job.Created, job.Running, job.Failing, job.Failed, job.Cancelling, job.Canceled, job.Finished, job.Restarting}

// taskManagerFamilies are of each TaskManager that lives or is taken to live, from the leader.
var taskManagerFamilies = []family[*api.TaskManager]{
	{"perennial_taskmanager_connected", gauge, "1 if the TaskManager is in reach of the leader, 0 if it is not and has not been declared dead.", nil,
		ofTaskManager(func(t *api.TaskManager) float64 { return number(t.Connected) })},
	{"perennial_taskmanager_draining", gauge, "1 if jobs are to leave it.", nil, ofTaskManager(func(t *api.TaskManager) float64 { return number(t.Draining) })},
	{"perennial_taskmanager_slots", gauge, "Its slots.", nil, ofTaskManager(func(t *api.TaskManager) float64 { return float64(t.Slots) })},
	{"perennial_taskmanager_slots_free", gauge, "Those of its slots that a job could have.", nil, ofTaskManager(func(t *api.TaskManager) float64 { return float64(t.SlotsFree) })},
	{"perennial_taskmanager_lease_left_seconds", gauge, "What is left of its lease, as it said last; absent with taskmanager.isolated: run, and while it is not connected.", nil,
		ofLease(func(l *api.Lease) float64 { return *l.Left })},
	{"perennial_taskmanager_paused", gauge, "1 if its subtasks stand still, as its lease is over; absent likewise.", nil,
		ofLease(func(l *api.Lease) float64 { return number(l.Paused) })},
	{"perennial_taskmanager_host_load1", gauge, "Processes of its host that ran or waited for a CPU, mean over a minute (Linux only).", nil,
		ofLoad(func(l *api.Load) float64 { return l.Average })},
	{"perennial_taskmanager_task_processes", gauge, "Its task processes (Linux only).", nil, ofLoad(func(l *api.Load) float64 { return float64(l.Processes) })},
	{"perennial_taskmanager_task_memory_bytes", gauge, "Resident memory of its task processes together (Linux only).", nil,
		ofLoad(func(l *api.Load) float64 { return float64(l.Memory) })},
}

// jobFamilies are of each job, from its leader.
var jobFamilies = []family[*api.Job]{
	{"perennial_job_state", gauge, "Always 1; the label says what the job is doing.", []string{"state"},
		func(j *api.Job, emit func(float64, ...string)) { emit(1, string(j.State)) }},
	{"perennial_job_attempt", gauge, "The newest attempt of the job: 1, or more after all or a part of it was started again.", nil, ofJob(func(j *api.Job) float64 { return float64(j.Attempt) })},
	{"perennial_job_restarts_total", counter, "How often all or a part of the job was restarted.", nil, ofJob(func(j *api.Job) float64 { return float64(j.Restarts) })},
	{"perennial_job_slots_missing", gauge, "Slots for which the job waits.", nil, ofJob(func(j *api.Job) float64 { return float64(j.SlotsMissing) })},
	{"perennial_job_lease_wait", gauge, "1 while all or a part of the job waits for the lease of a TaskManager that was lost, before it is started elsewhere.", nil, ofJob(func(j *api.Job) float64 { return number(j.LeaseWait != nil) })},
	{"perennial_job_checkpoints_completed_total", counter, "Checkpoints that were completed.", nil,
		ofJob(func(j *api.Job) float64 { return float64(j.Checkpoints.Completions) })},
	{"perennial_job_checkpoints_aborted_total", counter, "Checkpoints that were given up while the job went on.", nil,
		ofJob(func(j *api.Job) float64 { return float64(j.Checkpoints.Aborted) })},
	{"perennial_job_checkpoint_in_progress", gauge, "1 while a checkpoint is under way.", nil,
		ofJob(func(j *api.Job) float64 { return number(j.Checkpoints.InProgress != 0) })},
	{"perennial_job_restored_checkpoint_id", gauge, "The checkpoint from which the present attempt continued; 0: from the beginning.", nil,
		ofJob(func(j *api.Job) float64 { return float64(j.Checkpoints.Restored) })},
	{"perennial_job_last_checkpoint_id", gauge, "The newest completed checkpoint. All of it is absent before the first.", nil,
		ofNewest(func(c *api.Checkpoint) float64 { return float64(c.ID) })},
	{"perennial_job_last_checkpoint_completed_timestamp_seconds", gauge, "When the newest checkpoint was completed; its age is time() less this.", nil,
		ofNewest(func(c *api.Checkpoint) float64 { return float64(c.Completed.UnixMilli()) / 1000 })},
	{"perennial_job_last_checkpoint_duration_seconds", gauge, "How long the newest checkpoint took, from its reservation to its completion.", nil,
		ofNewest(func(c *api.Checkpoint) float64 { return c.Millis / 1000 })},
	{"perennial_job_last_checkpoint_pause_seconds", gauge, "The longest that the record path of a subtask stood still for the newest checkpoint.", nil,
		ofNewest(func(c *api.Checkpoint) float64 { return c.PausedMillis / 1000 })},
	{"perennial_job_last_checkpoint_size_bytes", gauge, "The state in the newest checkpoint, of all subtasks.", nil,
		ofNewest(func(c *api.Checkpoint) float64 { return float64(c.Size) })},
	{"perennial_vertex_subtasks", gauge, "Subtasks of the vertex, a chain of fused operators.", []string{"vertex"},
		ofVertices(func(v *api.Vertex) float64 { return float64(v.Parallelism) })},
	{"perennial_vertex_busy_seconds_total", counter, "Time that the subtasks of the vertex worked, all together.", []string{"vertex"},
		ofVertices(func(v *api.Vertex) float64 { return v.BusySeconds })},
	{"perennial_vertex_blocked_seconds_total", counter, "Time that its subtasks waited for a consumer (back-pressure).", []string{"vertex"},
		ofVertices(func(v *api.Vertex) float64 { return v.BlockedSeconds })},
	{"perennial_vertex_idle_seconds_total", counter, "Time that its subtasks waited for input.", []string{"vertex"},
		ofVertices(func(v *api.Vertex) float64 { return v.IdleSeconds })},
	{"perennial_operator_records_in_total", counter, "Records that the operator took; 0 of a source.", []string{"operator"},
		ofOperators(func(o *api.Operator) float64 { return float64(o.RecordsIn) })},
	{"perennial_operator_records_out_total", counter, "Records that the operator emitted, however many operators take them; 0 of a sink.", []string{"operator"},
		ofOperators(func(o *api.Operator) float64 { return float64(o.RecordsOut) })},
	{"perennial_operator_records_skipped_total", counter, "Records that made the operator's function fail and were given up: dropped, or sent to its dead letters.", []string{"operator"},
		ofOperators(func(o *api.Operator) float64 { return float64(o.Skipped) })},
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func ofCluster(read func(*api.Cluster) int) func(*jobmanager.Figures, func(float64, ...string)) {
	return func(f *jobmanager.Figures, emit func(float64, ...string)) {
		if f.Led != nil {
			emit(float64(read(&f.Led.Cluster)))
		}
	}
}

func ofTaskManager(read func(*api.TaskManager) float64) func(*api.TaskManager, func(float64, ...string)) {
	return func(t *api.TaskManager, emit func(float64, ...string)) { emit(read(t)) }
}

func ofLease(read func(*api.Lease) float64) func(*api.TaskManager, func(float64, ...string)) {
	return func(t *api.TaskManager, emit func(float64, ...string)) {
		if t.Lease != nil && t.Lease.Left != nil {
			emit(read(t.Lease))
		}
	}
}

func ofLoad(read func(*api.Load) float64) func(*api.TaskManager, func(float64, ...string)) {
	return func(t *api.TaskManager, emit func(float64, ...string)) {
		if t.Load != nil {
			emit(read(t.Load))
		}
	}
}

func ofJob(read func(*api.Job) float64) func(*api.Job, func(float64, ...string)) {
	return func(j *api.Job, emit func(float64, ...string)) { emit(read(j)) }
}

func ofNewest(read func(*api.Checkpoint) float64) func(*api.Job, func(float64, ...string)) {
	return func(j *api.Job, emit func(float64, ...string)) {
		if len(j.Checkpoints.Completed) > 0 {
			emit(read(&j.Checkpoints.Completed[0]))
		}
	}
}

func ofVertices(read func(*api.Vertex) float64) func(*api.Job, func(float64, ...string)) {
	return func(j *api.Job, emit func(float64, ...string)) {
		for i := range j.Vertices {
			emit(read(&j.Vertices[i]), j.Vertices[i].Name)
		}
	}
}

func ofOperators(read func(*api.Operator) float64) func(*api.Job, func(float64, ...string)) {
	return func(j *api.Job, emit func(float64, ...string)) {
		for v := range j.Vertices {
			for i := range j.Vertices[v].Operators {
				op := &j.Vertices[v].Operators[i]
				emit(read(op), op.Name)
			}
		}
	}
}
