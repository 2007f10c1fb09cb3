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
// The session is one of package zksession, which takes the care that the client library needs: an expired
// session is final, frozen servers cost a moment, nothing is queued.
//
// A Store owns its session's goroutines, one each to follow the leader and the members once somebody
// observes them, one that keeps a member's path warm, and a short one after each claim that prunes the
// history. All have ended when Close returns.
//
// Who may use the cluster's nodes is in access.go.
//
// Inspect looks at an ensemble and a cluster for a person; its goroutines have ended when it returns.
//
// The package never deletes a cluster, and never changes the access control of a node that exists.
package zookeeper
