// Package file reads text files line by line, and writes CSV, JSON-lines and raw files that become
// visible only when they are complete.
//
// A source is cut into splits by file and by byte range, many small files to one split: Lines reads what is there when the
// job begins, Watch also the files that come later. A sink (CSV, JSONLines, Raw) writes hidden part files, into one directory
// or by Bucket into several: each subtask ends them at a checkpoint, by their size and by their age, and begins the next
// with the next record. Whoever commits the end of a bounded job, or the completion of a checkpoint of an
// unbounded one, renames them (package internal/output), so the directory shows the whole
// result or none of it, or what complete checkpoints cover.
//
// Sources and sinks are exactly-once: what is left of a half-read split is a split again, and part of
// a checkpoint, and so are the names of the files that were taken, and of those that are not visible yet.
//
// Encoders are compiled once per type; on the way of a record there is no reflection and,
// for ordinary types, no allocation.
//
// It starts no goroutine. Every host that may run a subtask must see the same files.
package file
