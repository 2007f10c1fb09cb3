// Package jobmanager is the process that accepts jobs, decides where they run, and leads or
// stands by.
//
// Leadership is a function call: the process leads while lead(ctx, term) runs. It reads what is
// committed, asks the TaskManagers what runs, adopts that, and only deploys what is missing;
// when it returns, nothing that it started goes on. It never runs user code, touches a
// record, or stops a task because it lost its own leadership.
//
// Goroutines. Run owns: the listener with one reader and one writer per connection, the API's
// server, the shelf that has plans at hand, the watcher that holds a connection to another leader,
// and the election. lead owns: the registry (TaskManagers, their slots, their life and death; nobody
// else touches them), one goroutine per job that does not rest, one that asks the quorum whether the
// epoch is still in force, one that keeps standbys informed, one that tells how the takeover went, one
// that forgets what is old, and one that waits for what storage withheld. Each is waited for.
//
// What a job does next is decided in package execution, which is pure. The rules named here
// (R1, R9 …) are those of docs/failover-protocol.md. Begin reading at Run, then lead.
package jobmanager
