package jobmanager

import (
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/rpc"
)

// passing names the points before and after a commit.
func passing(c execution.Commit, before, in execution.Intent) [2]failpoint.Point {
	switch {
	case c.Completes != nil:
		return [2]failpoint.Point{failpoint.LeaderCompletes, failpoint.LeaderCompleted}
	case in.Reserved > before.Reserved:
		return [2]failpoint.Point{failpoint.LeaderReserves, failpoint.LeaderReserved}
	case in.Aborted > before.Aborted:
		return [2]failpoint.Point{failpoint.LeaderAborts, failpoint.LeaderAborted}
	case in.Phase == execution.Restarting && len(in.Completed) < len(before.Completed):
		return [2]failpoint.Point{failpoint.LeaderStrikes, failpoint.LeaderStruck}
	case in.Phase == execution.Restarting:
		return [2]failpoint.Point{failpoint.LeaderRestarts, failpoint.LeaderRestarted}
	case in.Attempt > before.Attempt && in.Restore != nil:
		return [2]failpoint.Point{failpoint.LeaderResumes, failpoint.LeaderResumed}
	case in.Phase == execution.Publishing:
		return [2]failpoint.Point{failpoint.LeaderEnds, failpoint.LeaderEnded}
	case in.Phase == execution.Finished:
		return [2]failpoint.Point{failpoint.LeaderFinishes, failpoint.LeaderFinished}
	}
	return [2]failpoint.Point{}
}

// sent is told of each message that has gone out.
func sent(m rpc.Message) {
	switch m.(type) {
	case rpc.Trigger:
		failpoint.LeaderTriggered.Reached()
	case rpc.Closed:
		failpoint.LeaderClosed.Reached()
	case rpc.Stop:
		failpoint.LeaderStopped.Reached()
	case rpc.Deploy:
		failpoint.LeaderDeployed.Reached()
	}
}
