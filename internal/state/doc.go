// Package state keeps the keyed state of one operator in one subtask: values, lists and maps by
// name and type, and timers. What belongs to a key is found by [Store.SetKey], and by nothing else.
//
// Entries are kept in memory as they are, in tables that are copied on write while a snapshot of
// them is written; or, if a store has a [Backend], there, encoded. One suite, statetest, says what both
// promise. The stored form is the same: entries, in frames, of key and value.
//
// A store belongs to one goroutine, the subtask's, and starts none; a snapshot may be written by
// another one while the store goes on. A backend that fails ends the user's function by a panic with
// a [Failure], so that nothing is computed from what could not be read.
package state
