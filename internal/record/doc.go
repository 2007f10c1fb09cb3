// Package record is what travels on an edge of a job: batches of records of one type,
// and events between them; how a type is encoded at a process border; how a key is hashed.
//
// It is a leaf: no I/O, no goroutines, nothing of this module imported. Reflection is used
// when a codec or hasher is compiled, once per type, and never per record.
package record
