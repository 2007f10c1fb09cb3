// Package zksession is a ZooKeeper session that is careful where the client library is not: a process
// that leads, or holds a lock, knows in time that it may not do so any more, and no server that is
// frozen costs it more than a moment. It stands on github.com/go-zookeeper/zk, whose errors (zk.ErrNoNode …),
// zk.ACL and zk.Stat it speaks, and is of use without the rest of Perennial.
//
//   - A session has one end. The library follows an expired session with another in silence, and sends
//     there what was queued for the first; here an expired session is final (Done, Err).
//   - A process that is cut off hears from nobody that its session is over. A lease by the monotonic
//     clock, of the session timeout that the ensemble has granted, ends it; it counts from when the
//     request was sent that was answered last. (That clock stands still while a machine is suspended.)
//   - Each call takes a context. A server that leaves a call unanswered for a fifth of the session timeout
//     is left for the next one.
//   - A server has 0.3 s to accept a connection and a session (up to 2.4 s after it has let that pass), and not 6.7
//     session timeouts. There is no second of sleep after a round of servers, and while the ensemble elects a leader
//     little time is spent on servers that were silent.
//   - While there is no connection nothing is queued, so nothing is sent at a time of the library's choice (what
//     was called while one was being lost may go out over the next). Reads are sent again until they are
//     answered; of a Multi whose reply was lost that is told (Lost), as only its caller knows how to find out.
//   - What is larger than servers take would end the session, and is refused before it is sent (ErrTooLarge).
//   - Follow reads and watches, and looks again also after a connection was lost, when watches may have been.
//   - Names are looked up anew for each connection, as servers move; of several addresses each connection
//     takes the next, and while the resolver is away one that the process has found before. Certificates are
//     read anew as well, as they are renewed. What will not pass by itself (a name that nobody knows, a
//     certificate that no server takes) is told at once, with what to do.
//
// A server's answer to a read is evidence of nothing: it may be a follower that lags, or a leader that was
// deposed. Where "is it still so?" matters, ask the quorum, by a Multi with a Check. Reads after it in the
// same session are at least as new, because ZooKeeper keeps a session's order across servers.
//
// The package keeps no state of its own in ZooKeeper, and decides nothing about leadership or locks.
//
// A Session owns the library's goroutines, one that handles the session's events, one for each call that
// the library has not answered (at most 256), one for each node that a Follow watches, and those of Go. All
// have ended when Close returns. Begin reading at Start; wire.go makes the library's connections, to the servers
// that turns.go chooses.
package zksession
