package record

// KeyGroup is the key group of a key with the given hash, in 0…max-1. max is the job's
// highest parallelism and never changes while the job has state.
func KeyGroup(hash uint64, max int) int {
	return int(hash % uint64(max))
}

// Owner is the subtask that has a key group: subtasks own ranges of groups, as equal as
// possible, so that another parallelism moves few of them. 0 <= group < max, parallelism <= max.
func Owner(group, max, parallelism int) int {
	return group * parallelism / max
}
