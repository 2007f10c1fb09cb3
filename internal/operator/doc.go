// Package operator is the contract between the steps of a job and the runtime that runs them:
// what a user function may know (Context), how a batch is handed on (Receiver), and the plan of
// typed constructors from which a subtask is wired (Plan).
//
// It runs nothing, owns no goroutine and knows no network: package task does all three. Types are
// erased per vertex and per edge, never per record: `any` holds a Receiver while a chain is wired.
package operator
