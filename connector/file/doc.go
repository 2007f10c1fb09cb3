// Package file reads text files line by line, and writes CSV and JSON-lines files that become
// visible only when they are complete.
//
// A source (Lines) is cut into splits by file and by byte range, many small files to one split. A sink
// (CSV, JSONLines) writes one hidden part file per subtask; whoever commits the end of the job
// renames them (package internal/output), so the directory shows the whole result or none.
// Encoders are compiled once per type; on the way of a record there is no reflection and,
// for ordinary types, no allocation.
//
// It starts no goroutine. Every host that may run a subtask must see the same files.
package file
