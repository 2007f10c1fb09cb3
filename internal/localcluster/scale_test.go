package localcluster_test

import (
	"testing"

	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/swarm"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// TestManyTaskManagers: a leader of many TaskManagers is killed, again and again. Each successor finds every subtask where it
// was, and deploys nothing.
func TestManyTaskManagers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	const taskManagers, slots, jobs, kills = 100, 2, 10, 3
	f := newFixtureOf(t, localcluster.Config{JobManagers: 3, Settings: map[string]string{"zookeeper.quorum": testensemble.Start(t, 3).Connect()}})
	s, err := swarm.On(f.ctx, f.cluster, f.client, taskManagers, slots)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := swarm.Run(f.ctx, f.cluster, f.client, jobs, taskManagers*slots/jobs); err != nil {
		t.Fatal(err)
	}
	deployed := s.Deployments()
	for range kills {
		leader, was, err := f.cluster.Leader(f.ctx, f.client)
		if err != nil {
			t.Fatal(err)
		}
		leader.Kill()
		list, err := f.client.Failovers(f.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if now := list[0]; now.Epoch <= was.Epoch || now.Jobs != jobs || now.Subtasks != taskManagers*slots || now.Redeployed+now.Unheard > 0 {
			t.Errorf("after epoch %d: %+v", was.Epoch, now)
		}
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.Hot(f.ctx, f.cluster, f.client); err != nil {
			t.Fatal(err)
		}
	}
	if now := s.Deployments(); now != deployed {
		t.Errorf("%d deployments before the kills, and %d after them", deployed, now)
	}
}
