// Package minicluster is a whole cluster in one process, every part of which can be killed,
// stopped, cut off and started again, and whose doings are chronicled: for tests of what
// happens when parts of a cluster fail, and for transcripts of it that a person can read.
//
// The parts are the real ones: jobmanager.Run, rest.Handler and taskmanager.Run over loopback
// TCP, with coordination in memory, a storage directory, and job binaries as real task processes
// (the test binary starts itself: see Main). Only what lies between the parts is this package's,
// and there it has its hands: each connection that a part dials (network.go, conn.go) and each
// session with coordination (store.go). Read cluster.go next; transcript.go makes the story.
//
// # How a part is killed
//
// A goroutine cannot be killed, so Kill takes care that nobody can tell the difference. First the
// part falls silent, all at once: nothing that it sends goes anywhere, nothing reaches it, its
// calls to coordination fail unsent, its answers to clients are dropped. Nobody is
// told yet. Then its context ends, the task processes of a TaskManager get a SIGKILL, and Kill
// waits until Run has returned, so that nothing of the part is left that could do anything. Only
// then do the others see its connections reset and its ports refuse. Its session with
// coordination ends as that of a killed process does: not now, but by ExpireSession.
//
// What that cannot imitate: a file that the part was just writing or renaming is written to its
// end, though never after the others can notice the death; the part's deferred functions run,
// unheard; its memory stays. And nothing here is SIGSTOP: a part can be cut off
// from everything, but it goes on thinking, so R11 (a pause that it observes in itself) does not
// show. Connections between task processes, and between clients and JobManagers, cannot be cut
// while both ends live. For all that there are real processes: package localcluster.
//
// # Goroutines
//
// One per running part, and one per connection between parts, which carries what its dialer
// sends. The cleanup that Start registers with the test ends them all and waits for them.
package minicluster
