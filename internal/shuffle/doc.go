// Package shuffle carries batches of records and events between subtasks: through memory
// inside a task process, and over TCP, in frames, to the task processes of other TaskManagers.
//
// A subtask writes through a Writer, which distributes records over Outputs; each Output is one end
// of a channel, whose other end is a numbered channel of a consumer's Gate. A channel has a
// few buffers. A producer that has none left waits until the consumer has released one: that is the
// back-pressure, and it bounds memory. Order on one channel is kept.
//
// Writers and gates run in their subtasks' goroutines and start none. An Exchange owns
// every goroutine that a connection needs, and Close waits for them; those only move bytes:
// records are encoded in the producer's goroutine and decoded in the consumer's.
//
// It never decides that a peer is dead: a broken connection is dialed again, and resumes
// where it was, until the leader ends the attempt.
package shuffle
