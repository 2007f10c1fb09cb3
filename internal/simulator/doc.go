// Package simulator runs a whole cluster in one bubble of testing/synctest: the real jobmanager.Run with its rest.Handler,
// taskmanager.Run, client.Client and coordination.Elect, on a clock, a network, a disk and a coordination service that are
// this package's. A Plan says what the cluster is asked to do and which faults come when; Draw makes one of a seed, and Run
// carries it out while a checker asserts the invariants of docs/failover-protocol.md at each thing that happens.
//
// It never touches a socket or a process. Task processes are stand-ins (task.go) that speak the protocol of real ones to
// the real TaskManager: what they count, keep in checkpoints and write to files is as little as tells afterwards whether each record came
// out once. A process is killed as in package minicluster: nothing of it is heard from that moment on, and its goroutines
// end later, unheard.
//
// # What crosses the borders
//
//   - Between processes: bytes of connections (network.go, conn.go), each of which arrives after a latency that is drawn, in order
//     within a connection. The checker reads along what arrives at RPC ports (tap.go).
//   - To coordination: calls of coordination.Store, through session.go, into coordination/memory, which tells the checker of each change
//     in the order in which they take effect, with the epoch of its author.
//   - To storage: calls of objects.Store (disk.go), into a map. Files of output are real ones, in a directory of the caller's.
//
// # Goroutines
//
// Run's caller owns the world: it starts and ends processes, and does one fault after the other. Each process has the goroutine
// that runs it and what that starts, each task process has one, each message on its way a timer. Run returns when all have ended.
//
// # Exactly again
//
// A bubble makes time a part of the program, but not which of two goroutines goes first. In a binary that was built on the runtime of
// internal/simulator/run (make simulate) that is so as well: Result.Trace, a hash of all that happened, is then the same each time.
//
// Begin reading at plan.go, then world.go; docs/decisions/0018-a-simulator.md says why.
package simulator
