// Package execution decides about one job: what to commit, and what to tell the TaskManagers.
//
// It is a pure state machine. An Execution holds the job's committed Intent and what the
// TaskManagers have said since its leader began; Step takes one Event, and returns the Actions
// that its owner performs in order. It never looks at a clock, does I/O, starts a goroutine
// or keeps a lock, so that every course of events can be written down as text and read:
// see testdata.
//
// The rules named here (R3, R5 …) are those of docs/failover-protocol.md; the phases of a job
// are drawn in docs/decisions/0001-the-shape.md. Begin reading at Execution.decide.
package execution
