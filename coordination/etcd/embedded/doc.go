// Package embedded is etcd's own server inside a JobManager: three or five JobManagers
// are a quorum by themselves, with nothing else installed.
//
// A Server is one member. It has a data directory, in which it restarts under its identity,
// and a port for Raft; it has no port for clients, as its clients live in the same process
// (Server.Store). It owns etcd's goroutines; Close waits for them.
//
// A process that leads the JobManagers should not be Raft's leader as well: its death
// would cost an election besides the takeover. Server.MoveLeaderAway hands Raft's leadership
// to another member, and Server.ClaimDelay lets those that are not Raft's leader claim first,
// so that no second transfer follows. See "The embedded quorum" in
// docs/failover-protocol.md.
//
// The package never starts a member anew under an identity that has voted: one that has lost
// its data could vote twice. It is removed and added again (Server.RemoveMember, AddMember), and
// joins under a new one, at first without a vote.
package embedded
