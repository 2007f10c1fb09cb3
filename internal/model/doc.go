// Package model is the failover protocol as small state spaces, each of which is explored to its end: every
// order in which what may happen can happen, within bounds. It asserts the invariants I1–I10 in every state.
// The rules R1–R16 are switches: each that a model covers can be switched off, and must then give a
// counterexample, or else the model would prove nothing about it. What each model has, what it leaves out
// and why that is allowed: docs/model.md.
//
// It shares no code with what it models, and imports nothing of the module: it is the second opinion.
// It does no I/O but for the table that Run prints, and starts no goroutine.
//
// Read explore.go first, then leases.go, which is the smallest model that has everything, then epochs.go.
package model
