// Package etcd is coordination's epoch contract on etcd: on a cluster that is reached by
// its endpoints, or on the server inside this process that package embedded starts.
//
// An epoch is a version of one key. A claim is one transaction that compares the revision
// of that key and writes the next epoch; a commit compares the same revision, so that a
// replaced leader's writes fail inside etcd whatever that leader believes. A lease only
// tells who is alive: it fences nothing here, and nothing waits for it when a leader dies.
//
// No request is waited for long. A proposal made while Raft moves its leadership, or
// forwarded to a leader that is dead, vanishes, and etcd itself would report that after six
// seconds. So each write is tried with a short deadline that grows, with the same comparison
// and the same nonce, until the context ends; the transaction's else-branch tells whether an
// earlier try had landed (R8).
//
// Keys, under /perennial/<cluster>/:
//
//	epoch           the record of the newest claim; written by claims only
//	epoch/leader    exists while the leader's session does (one watch sees both, in order)
//	history/<n>     who claimed epoch n; the newest 64
//	members/<id>    one per member, with its session's lease
//	probe           written by reads that got no answer; means nothing
//	anything else   the caller's, each value behind the nonce of the commit that wrote it
//
// A Store owns one goroutine that renews its lease, and one for each Observe and
// WatchMembers; Close waits for all of them. The package never decides to claim: that is
// the election's, which asks ClaimDelay how long to hold back.
package etcd
