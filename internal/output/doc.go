// Package output is how a job's files come into being and become visible: the names of
// part files, written and visible, and the renames that publish them (R12, I5).
//
// A sink names its files by it; whoever ends the job (a JobManager, or the local run)
// publishes the committed list by it. It never decides what is published, never overwrites
// a file that it was not told to publish, and starts no goroutine. It is a leaf.
package output
