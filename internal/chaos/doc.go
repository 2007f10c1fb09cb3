// Package chaos is the oracle of recovery: a job that a seed draws is run undisturbed in this process, and
// again on a cluster of real processes that are killed and frozen meanwhile, and whose storage fails. Both
// must commit the same output, record for record. Its test does the same with one fault at a time, at each
// step of a checkpoint, a commit and a recovery; package oracle below it does it in one process.
//
// Its own binary is the job's. It ends only processes that it started, or whose job it submitted, and leaves
// nothing behind. Run owns one goroutine at a time: that which does the faults and then waits for the job.
package chaos
