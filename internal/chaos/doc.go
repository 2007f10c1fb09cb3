// Package chaos is the nemesis, and the oracle of recovery: a job that a seed draws is run undisturbed in this process, and
// again on a cluster of real processes to which faults are done meanwhile, all that docs/faults.md has. The output must be the
// same, record for record, and the invariants of docs/failover-protocol.md must hold. Its tests do the same with one fault at a
// time, and at each step of a checkpoint, a commit, a recovery and a takeover; package oracle below it does it in one process.
//
// A Site is a cluster with all around it that faults reach; Run does one round at a site. Its own binary is the job's. It ends
// only processes that it started, or whose job it submitted, and leaves nothing behind. Run owns the goroutine that does the
// faults and then waits for the job, and one for each client that asks meanwhile; all have ended when it returns.
package chaos
