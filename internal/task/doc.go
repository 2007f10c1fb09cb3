// Package task runs the subtasks of a job in this process: all of them when a job is run by
// hand, those of some slots when the process belongs to a cluster (Process).
//
// It decides nothing about a job: a failed subtask is reported, and whoever started the
// execution cancels the others. It makes no output visible. It imports neither JobManager nor
// TaskManager nor any coordination: it is linked into every job.
//
// Goroutines: one per subtask (subtask.go), owned by an Execution, whose Wait waits for them.
// Each runs a loop that takes input, pushes batches through the chain of fused operators, and
// flushes what has grown old. User code is called there and nowhere else (but for function sources, which
// have a goroutine that the subtask owns). A Process has two more: one reads what the TaskManager
// says, one takes the data connections that it hands over. A Process outlives its subtasks, until
// it is told that the attempt is over.
package task
