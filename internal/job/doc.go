// Package job is the vocabulary that JobManager, TaskManager, task process and
// client share: ids, attempts, states, the plan of a job, and what a client submits.
//
// It is a leaf: it does no I/O, starts no goroutine and imports nothing of this module.
package job
