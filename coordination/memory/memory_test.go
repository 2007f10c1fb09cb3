package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/coordinationtest"
	"github.com/perennial-io/perennial/coordination/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	coordinationtest.Run(t, newCluster)
}

func newCluster(*testing.T) coordinationtest.Cluster {
	cluster := memory.New()
	return coordinationtest.Cluster{
		Open: func(*testing.T) coordination.Store { return cluster.Open() },
		LoseReplies: func(t *testing.T, s coordination.Store) func() {
			return broken(t, s, (*memory.Store).LoseReplies)
		},
		Cut:    func(t *testing.T, s coordination.Store) func() { return broken(t, s, (*memory.Store).Cut) },
		Expire: func(_ *testing.T, s coordination.Store) { s.(*memory.Store).Expire() },
	}
}

func broken(t *testing.T, s coordination.Store, how func(*memory.Store)) (mend func()) {
	store := s.(*memory.Store)
	how(store)
	t.Cleanup(store.Heal)
	return store.Heal
}
