// Package operator is the contract between the steps of a job and the runtime that runs them:
// what a user function may know (Context), how a batch is handed on (Receiver), and the plan of
// typed constructors from which a subtask is wired (Plan).
//
// It runs no subtask and knows no network: package task does both. Types are erased per vertex and per
// edge, never per record: `any` holds a Receiver while a chain is wired.
//
// Two goroutines begin here, each owned by a part of a subtask, whose Close waits for it: that of a function which
// emits records (funcsource.go), and that which commits the transactions of a sink (committer.go).
package operator
