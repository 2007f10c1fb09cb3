package minicluster_test

import (
	"testing"

	"github.com/perennial-io/perennial/internal/minicluster"
)

func TestLeaderKilledWhileRunning(t *testing.T) {
	c := minicluster.Start(t, minicluster.Config{JobManagers: 2, TaskManagers: 2})
	k := newCounting(t, c).submit()
	before := c.Running(k.id, 1)
	c.Leader().Kill()
	c.Settle()
	untouched(t, before, c.Running(k.id, 1))
	k.finish(1)
}
