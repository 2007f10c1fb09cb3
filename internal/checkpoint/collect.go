package checkpoint

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
)

// Collect says how far the checkpoint is, given what was acknowledged: complete when each of the
// subtasks has contributed; otherwise those that have not, in their order. A failure, "" if none,
// is the first of theirs: the checkpoint cannot be completed any more. Acknowledgements of
// other checkpoints count for nothing.
func Collect(acks map[job.Subtask]job.Acknowledgement, subtasks []job.Subtask, id job.CheckpointID) (complete bool, missing []job.Subtask, failure string) {
	for _, subtask := range subtasks {
		ack, there := acks[subtask]
		there = there && ack.Checkpoint == id
		if there && ack.Failure == "" {
			continue
		}
		missing = append(missing, subtask)
		if there && failure == "" {
			failure = fmt.Sprintf("subtask %d of vertex %d: %s", subtask.Index, subtask.Vertex, ack.Failure)
		}
	}
	return len(subtasks) > 0 && len(missing) == 0, missing, failure
}

// Dir names the directory of what one attempt wrote for one checkpoint.
type Dir struct {
	Checkpoint job.CheckpointID
	Attempt    job.Attempt
}

// Garbage are those of dirs that nothing will ever refer to (R13). What is retained, open and
// reserved comes from one committed version of the intent, read before or after dirs were listed:
// an id that it does not show closed may be in use by a successor. Retained is every directory
// that a kept manifest is in or refers to; open is 0 if no checkpoint is.
func Garbage(dirs, retained []Dir, open, reserved job.CheckpointID) []Dir {
	keep := make(map[Dir]bool, len(retained))
	for _, d := range retained {
		keep[d] = true
	}
	var garbage []Dir
	for _, d := range dirs {
		if closed := d.Checkpoint <= reserved && d.Checkpoint != open; closed && !keep[d] {
			garbage = append(garbage, d)
		}
	}
	return garbage
}
