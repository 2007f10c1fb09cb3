// Package connector is the contract of sources and sinks: where the records of a job come from
// and where they go. The connectors themselves are packages below this one.
//
// It starts no goroutine. The runtime calls each Reader and SinkWriter from the one goroutine of
// the subtask that opened it; a Source or Sink itself is a description, shared by all subtasks,
// and must not change once it was given to a job.
package connector
