// Package zookeeper keeps the epoch contract of package coordination on an Apache
// ZooKeeper ensemble (3.5.3 or later).
//
// What it writes lies under one node per cluster, <chroot><root>/<cluster id>, which holds the
// format of what is below it:
//
//	epoch         who leads, as JSON; only a take-over writes it, so its data version fences
//	leader        ephemeral, in the leader's session: evidence of life and never a fence
//	history/N     the record of each epoch, the newest 64
//	jobmanagers/  the members, ephemeral
//	...           each key of a Term; its value follows a line with the commit's nonce
//
// Every conditional write is one multi that begins with a check of epoch's version (R1),
// and so is every question whether something is still so: what a server answers from its
// own memory is evidence of nothing (R7). Reads that follow such a multi in the same session
// are at least as new, because ZooKeeper keeps a session's order across servers.
//
// The client library needs care, which session.go and wire.go take: it has no deadlines,
// waits long for frozen servers, and follows an expired session with a new one in silence,
// into which it sends what was queued. Here an expired session is final.
//
// A Store owns the library's goroutines, one that handles the session's events, one for
// each call that the library has not answered (at most 256), one each to follow the leader
// and the members once somebody observes them, and a short one after each claim that
// prunes the history. All have ended when Close returns.
//
// Connections are made by dialer.go: it looks names up anew each time, and speaks TLS. Who a
// process is for the ensemble, and who may use its nodes, is in access.go.
//
// Inspect looks at an ensemble and a cluster for a person; its goroutines have ended when it returns.
//
// The package never deletes a cluster, and never changes the access control of a node that exists.
package zookeeper
